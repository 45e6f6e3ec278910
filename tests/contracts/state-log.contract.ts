/**
 * What every state log must do: the clauses of src/transport/state-log.ts as tests, over whatever bus is
 * given.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PAYLOAD_BYTES_MAX } from '../../src/protocol/codec.ts'
import { Fault } from '../../src/protocol/faults.ts'
import { STATE_FORMAT, type StateEntry } from '../../src/protocol/records.ts'
import { streamOf } from '../../src/protocol/table.ts'
import { openStateLog } from '../../src/transport/bus-state-log.ts'
import type { Bus } from '../../src/transport/bus.ts'
import type { StateLog } from '../../src/transport/state-log.ts'
import type { BusFleet } from './bus.contract.ts'

const WRITERS = { a: '01AAAAAAAAAAAAAAAAAAAAAAAA', b: '01BBBBBBBBBBBBBBBBBBBBBBBB' }
function entry(writer: keyof typeof WRITERS, number: number, more: Partial<StateEntry> = {}): StateEntry {
  return {
    format: STATE_FORMAT,
    epoch: { storeId: 'store', n: 1 },
    writer: WRITERS[writer],
    number,
    at: 1_700_000_000_000,
    kind: 'change',
    part: null,
    ops: [],
    ...more,
  }
}

/** A bus whose next append lands, but whose answer is lost; or that does not leave at all. */
function losing(bus: Bus, fate: 'answer' | 'message', times = 1): Bus {
  let left = times
  return new Proxy(bus, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key)
      if (key !== 'append') return typeof value === 'function' ? value.bind(target) : value
      return async (...args: Parameters<Bus['append']>) => {
        if (left-- <= 0) return target.append(...args)
        if (fate === 'answer') await target.append(...args)
        throw new Fault('TIMEOUT', 'the answer is lost')
      }
    },
  })
}

/** @param replicas  of the streams that are made */
export function stateLogContract(
  name: string,
  make: () => Promise<BusFleet>,
  replicas: number | null = null,
): void {
  describe(`state log contract: ${name}`, () => {
    let fleet: BusFleet
    let bus: Bus
    let other: Bus
    let fleets = 0
    beforeAll(async () => {
      fleet = await make()
      bus = await fleet.connect('leader')
      other = await fleet.connect('other')
    })
    afterAll(() => fleet?.close())

    /** Two logs of one new fleet, opened and read. */
    const two = async (
      wrap: (bus: Bus) => Bus = (b) => b,
    ): Promise<{ mine: StateLog; theirs: StateLog; fleetName: string }> => {
      const fleetName = `f${++fleets}`
      const mine = openStateLog(wrap(bus), fleetName, { settleMs: 300, replicas })
      const theirs = openStateLog(other, fleetName, { replicas })
      for (const log of [mine, theirs]) {
        await log.open()
        await log.read()
      }
      return { mine, theirs, fleetName }
    }

    test('an empty log has no entries and no epoch', async () => {
      const { mine } = await two()
      expect([await mine.read(), await mine.lastEpoch()]).toEqual([[], null])
    })

    test('what was appended is read in order, by anybody, with its last epoch', async () => {
      const { mine, theirs } = await two()
      const entries = [
        entry('a', 1, { kind: 'takeover' }),
        entry('a', 2, { ops: [{ op: 'drop-run', run: 'r' }] }),
        entry('a', 3, { epoch: { storeId: 'store', n: 7 } }),
      ]
      for (const e of entries) await mine.append(e)
      expect(await theirs.read()).toEqual(entries)
      expect(await theirs.lastEpoch()).toEqual({ storeId: 'store', n: 7 })
    })

    test('many entries are read over several pages', async () => {
      const { mine, theirs } = await two()
      for (let i = 1; i <= 150; i++) await mine.append(entry('a', i))
      expect((await theirs.read()).map((e) => e.number)).toEqual(Array.from({ length: 150 }, (_, i) => i + 1))
    })

    test('a leader that was overtaken is refused with NOT_LEADER, and its entry is not in the log', async () => {
      const { mine, theirs } = await two()
      await mine.append(entry('a', 1))
      await theirs.read()
      await theirs.append(entry('b', 1, { kind: 'takeover' }))
      await expect(mine.append(entry('a', 2))).rejects.toMatchObject({ code: 'NOT_LEADER' })
      expect((await theirs.read()).map((e) => e.writer)).toEqual([WRITERS.a, WRITERS.b])
    })

    test('an append that landed with its answer lost is known by the tail, and the next one stands on it', async () => {
      const { mine, theirs } = await two((b) => losing(b, 'answer'))
      await mine.append(entry('a', 1))
      await mine.append(entry('a', 2))
      expect((await theirs.read()).map((e) => e.number)).toEqual([1, 2])
    })

    test('an append that did not arrive is said again and stands once', async () => {
      const { mine, theirs } = await two((b) => losing(b, 'message'))
      await mine.append(entry('a', 1))
      expect((await theirs.read()).map((e) => e.number)).toEqual([1])
    })

    test('an append that never gets through is CONN', async () => {
      const { mine } = await two((b) => losing(b, 'message', 1000))
      await expect(mine.append(entry('a', 1))).rejects.toMatchObject({ code: 'CONN' })
    })

    test('two appends at once are a mistake of the caller', async () => {
      const { mine } = await two()
      const first = mine.append(entry('a', 1))
      await expect(mine.append(entry('a', 2))).rejects.toThrow('two appends')
      await first
    })

    test('reading starts at the last snapshot that has all its parts', async () => {
      const { mine, theirs } = await two()
      const all = [
        entry('a', 1),
        entry('a', 2, { kind: 'snapshot', part: [1, 1] }),
        entry('a', 3),
        entry('a', 4, { kind: 'snapshot', part: [1, 2] }),
        entry('a', 5),
        entry('a', 6, { kind: 'snapshot', part: [2, 2] }),
        entry('a', 7),
        entry('a', 8, { kind: 'snapshot', part: [1, 2] }),
        entry('a', 9),
      ]
      for (const e of all) await mine.append(e)
      expect((await theirs.read()).map((e) => e.number)).toEqual([4, 5, 6, 7, 8, 9])
    })

    test('entries of another format, or of none, are not read: which it is and what to do is said', async () => {
      for (const [format, found] of [
        [STATE_FORMAT + 1, String(STATE_FORMAT + 1)],
        [undefined, 'none'],
      ] as const) {
        const { mine, theirs } = await two()
        await mine.append({ ...entry('a', 1), format } as unknown as StateEntry)
        await expect(theirs.read()).rejects.toMatchObject({
          message: expect.stringContaining(
            `is in format ${found}; this version reads format ${STATE_FORMAT}`,
          ),
          hint: expect.stringMatching(/start the version .* that wrote it.* delete the stream/),
        })
      }
    })

    test('entries are missing in the middle, or before the first that is no snapshot: the log says which', async () => {
      const { mine, theirs, fleetName } = await two()
      const stream = streamOf(fleetName, 'STATE')
      for (let i = 1; i <= 3; i++) await mine.append(entry('a', i))
      await theirs.read()
      expect(theirs.lost).toBe(null)
      await bus.purge(stream, { beforeSeq: 2 })
      await theirs.read()
      expect(theirs.lost).toBe('the state log begins at entry 2, which is no snapshot')
      const snapshot = entry('a', 4, { kind: 'snapshot', part: [1, 1] })
      await mine.append(snapshot)
      await mine.purgeBefore(snapshot)
      await theirs.read()
      expect(theirs.lost).toBe(null)
    })

    test('an entry is larger than the server takes: refused before it is sent, and the next one stands', async () => {
      const { mine, theirs } = await two()
      const large = entry('a', 1, { ops: [{ op: 'drop-key', key: 'x'.repeat(PAYLOAD_BYTES_MAX) }] })
      await expect(mine.append(large)).rejects.toMatchObject({ data: { reason: 'too-large' } })
      await mine.append(entry('a', 2))
      expect((await theirs.read()).map((e) => e.number)).toEqual([2])
    })

    test('what a snapshot made dead is purged, and the log goes on', async () => {
      const { mine, theirs } = await two()
      for (const e of [entry('a', 1), entry('a', 2)]) await mine.append(e)
      const snapshot = entry('a', 3, { kind: 'snapshot', part: [1, 1] })
      await mine.append(snapshot)
      await mine.append(entry('a', 4))
      await mine.purgeBefore(snapshot)
      expect((await theirs.read()).map((e) => e.number)).toEqual([3, 4])
      await theirs.append(entry('b', 1))
    })

    test('a standby hears each entry that was written, and none that was refused', async () => {
      const { mine, theirs, fleetName } = await two()
      const heard: number[] = []
      let come: () => void = () => undefined
      theirs.onEntry((e) => {
        heard.push(e.number)
        come()
      })
      await other.flush()
      const third = new Promise<void>((resolve) => (come = () => heard.length === 3 && resolve()))
      const deposed = openStateLog(bus, fleetName, { settleMs: 300 })
      await deposed.open()
      await deposed.read()
      await mine.append(entry('a', 1))
      await mine.append(entry('a', 2))
      await expect(deposed.append(entry('b', 99))).rejects.toMatchObject({ code: 'NOT_LEADER' })
      await mine.append(entry('a', 3))
      await third
      expect(heard).toEqual([1, 2, 3])
      await theirs.close()
    })
  })
}
