/**
 * Who leads: the lease, its renewal, takeover, deposal. A log in memory with appends that a test holds or
 * loses.
 */
import { expect, test } from 'vitest'
import { pieces, runLeadership, type Tenure } from '../../../src/actors/leadership.ts'
import { Fault } from '../../../src/protocol/faults.ts'
import type { StateEntry, StateOp } from '../../../src/protocol/records.ts'
import type { StateLog } from '../../../src/transport/state-log.ts'
import { manualClock, type ManualClock } from '../../support/manual-clock.ts'

interface Shared {
  entries: StateEntry[]
  listeners: Set<(entry: StateEntry) => void>
  purged: number
}

interface Handle {
  log: StateLog
  /**
   * appends that leave from here on: 'ok', 'hold' until released, 'lost' (CONN, not landed), 'landed' (CONN,
   * landed)
   */
  mode: 'ok' | 'hold' | 'lost' | 'landed'
  release(): void
}

function handleOn(shared: Shared): Handle {
  let position = 0
  const waiting: (() => void)[] = []
  const own = new Map<StateEntry, number>()
  const land = (entry: StateEntry): void => {
    const last = shared.entries.at(-1)
    if (last !== undefined && last.writer === entry.writer && last.number === entry.number) {
      position = shared.entries.length
      return
    }
    if (position !== shared.entries.length) throw new Fault('NOT_LEADER', 'somebody else wrote')
    shared.entries.push(entry)
    position = shared.entries.length
    own.set(entry, position)
    for (const listener of shared.listeners) listener(entry)
  }
  const handle: Handle = {
    mode: 'ok',
    release: () => {
      for (const go of waiting.splice(0)) go()
    },
    log: {
      open: () => Promise.resolve(),
      read: () => {
        position = shared.entries.length
        return Promise.resolve([...shared.entries])
      },
      append: async (entry) => {
        const { mode } = handle
        if (mode === 'hold') await new Promise<void>((resolve) => waiting.push(resolve))
        if (mode === 'lost') throw new Fault('CONN', 'no answer')
        if (mode === 'landed') {
          const before = position
          land(entry)
          position = before
          throw new Fault('CONN', 'no answer')
        }
        land(entry)
      },
      purgeBefore: (entry) => {
        shared.purged = own.get(entry)! - 1
        return Promise.resolve()
      },
      onEntry: (listener) => {
        shared.listeners.add(listener)
        return () => void shared.listeners.delete(listener)
      },
      lastEpoch: () => Promise.resolve(shared.entries.at(-1)?.epoch ?? null),
      close: () => Promise.resolve(),
    },
  }
  return handle
}

const settings = { leaseMs: 2000, renewMs: 500, takeoverMarginMs: 500, snapshotEntries: 1000 }
function newShared(): Shared {
  return { entries: [], listeners: new Set(), purged: 0 }
}

function candidate(shared: Shared, clock: ManualClock, name: string, more: Partial<typeof settings> = {}) {
  const handle = handleOn(shared)
  const seen = { tenure: null as Tenure | null, deposed: 0, leaseBack: 0 }
  const leadership = runLeadership({
    stateLog: handle.log,
    incarnation: name.padEnd(26, '0'),
    clock,
    settings: { ...settings, ...more },
    log: () => {},
    onLead: (tenure) => void (seen.tenure = tenure),
    onLeaseBack: () => void seen.leaseBack++,
    onDeposed: () => {
      seen.tenure = null
      seen.deposed++
    },
  })
  return { handle, seen, leadership }
}

function drainOp(node: string, on = true): StateOp {
  return { op: 'drain', node, on }
}

test('the log is empty: the first one leads at once, and makes the store’s id', async () => {
  const [shared, clock] = [newShared(), manualClock()]
  const a = candidate(shared, clock, 'A')
  await clock.settle()
  expect(a.seen.tenure?.epoch).toEqual({ storeId: 'A'.padEnd(26, '0'), n: 1 })
})

test('it renews by an entry each half second, where nothing else was written', async () => {
  const [shared, clock] = [newShared(), manualClock()]
  candidate(shared, clock, 'A')
  await clock.advance(10_000)
  const renewals = shared.entries.filter(({ kind }) => kind === 'renew').length
  expect(renewals).toBeGreaterThanOrEqual(17)
  expect(renewals).toBeLessThanOrEqual(21)
})

test('the leader is silent: a standby takes over after lease and margin on its own clock, at the next epoch', async () => {
  const [shared, clock] = [newShared(), manualClock()]
  const a = candidate(shared, clock, 'A')
  await clock.settle()
  const b = candidate(shared, clock, 'B')
  await clock.advance(5000)
  expect(b.seen.tenure).toBe(null)
  a.handle.mode = 'hold'
  await clock.advance(2400)
  expect(b.seen.tenure).toBe(null)
  await clock.advance(800)
  expect(b.seen.tenure?.epoch).toEqual({ storeId: 'A'.padEnd(26, '0'), n: 2 })
})

test('an acknowledgement comes late: the lease counts from when the entry was sent', async () => {
  const [shared, clock] = [newShared(), manualClock()]
  const a = candidate(shared, clock, 'A')
  await clock.settle()
  await clock.advance(400)
  a.handle.mode = 'hold'
  const done = a.seen.tenure!.persist([drainOp('n0')])
  const sentAt = clock.now()
  await clock.advance(1900)
  a.handle.release()
  a.handle.mode = 'hold'
  await clock.settle()
  await done
  expect(a.seen.tenure!.leased()).toBe(true)
  await clock.advance(sentAt + 2000 - clock.now())
  expect(a.seen.tenure!.leased()).toBe(false)
})

test('an entry is sent again and its first try had landed: the lease counts from the first try', async () => {
  const [shared, clock] = [newShared(), manualClock()]
  const a = candidate(shared, clock, 'A')
  await clock.settle()
  await clock.advance(300)
  a.handle.mode = 'landed'
  const done = a.seen.tenure!.persist([drainOp('n0')]).then(() => void (a.handle.mode = 'hold'))
  await clock.advance(1700)
  a.handle.mode = 'ok'
  await clock.advance(250)
  await done
  expect(a.seen.tenure!.leased()).toBe(true)
  await clock.advance(100)
  expect(a.seen.tenure!.leased()).toBe(false)
})

test('the lease runs out and comes back, with nobody else there: it may act again', async () => {
  const [shared, clock] = [newShared(), manualClock()]
  const a = candidate(shared, clock, 'A')
  await clock.settle()
  a.handle.mode = 'lost'
  await clock.advance(3000)
  expect(a.seen.tenure!.leased()).toBe(false)
  a.handle.mode = 'ok'
  await clock.advance(1500)
  expect(a.seen.tenure!.leased()).toBe(true)
  expect(a.seen.leaseBack).toBe(1)
  expect(a.seen.deposed).toBe(0)
})

test('somebody else wrote: deposed, its writes are refused, and it stands by', async () => {
  const [shared, clock] = [newShared(), manualClock()]
  const a = candidate(shared, clock, 'A')
  await clock.settle()
  const b = candidate(shared, clock, 'B')
  await clock.settle()
  const tenure = a.seen.tenure!
  a.handle.mode = 'hold'
  const late = tenure.persist([drainOp('n0')]).then(
    () => 'stood',
    () => 'refused',
  )
  await clock.advance(4000)
  expect(b.seen.tenure).not.toBe(null)
  a.handle.release()
  a.handle.mode = 'ok'
  await clock.settle()
  expect(await late).toBe('refused')
  expect(tenure.leased()).toBe(false)
  expect(a.seen.deposed).toBe(1)
  expect(shared.entries.some(({ ops }) => ops.length > 0)).toBe(false)
  await clock.advance(10_000)
  expect(a.seen.tenure).toBe(null)
  expect(b.seen.tenure).not.toBe(null)
})

test('it resigns: the standby need not wait', async () => {
  const [shared, clock] = [newShared(), manualClock()]
  const a = candidate(shared, clock, 'A')
  await clock.settle()
  const b = candidate(shared, clock, 'B')
  await clock.advance(1000)
  const gone = a.leadership.resign()
  await clock.advance(300)
  expect(b.seen.tenure?.epoch.n).toBe(2)
  await clock.advance(2000)
  await gone
})

test('nothing settles for three leases: it stands down, and takes over at once when the last entry is still its own', async () => {
  const [shared, clock] = [newShared(), manualClock()]
  const a = candidate(shared, clock, 'A')
  await clock.settle()
  await clock.advance(1000)
  a.handle.mode = 'lost'
  await clock.advance(8000)
  expect(a.seen.deposed).toBe(1)
  a.handle.mode = 'ok'
  await clock.advance(500)
  expect(a.seen.tenure?.epoch.n).toBe(2)
})

test('the store is lost under a leader that had made it: it makes another one, with another id', async () => {
  const [shared, clock] = [newShared(), manualClock()]
  const a = candidate(shared, clock, 'A')
  await clock.settle()
  const first = a.seen.tenure!.epoch.storeId
  shared.entries.length = 0
  await clock.advance(5000)
  expect(a.seen.deposed).toBe(1)
  expect(a.seen.tenure!.epoch).toEqual({ storeId: `${first}-2`, n: 1 })
})

test('what is written is what the next one folds', async () => {
  const [shared, clock] = [newShared(), manualClock()]
  const a = candidate(shared, clock, 'A')
  await clock.settle()
  await a.seen.tenure!.persist([drainOp('n0'), drainOp('n1')])
  await a.seen.tenure!.persist([drainOp('n0', false)])
  a.handle.mode = 'hold'
  const b = candidate(shared, clock, 'B')
  await clock.advance(4000)
  expect([...b.seen.tenure!.durable.drains]).toEqual(['n1'])
})

test('many entries: a snapshot says everything again, and the log before it is dropped', async () => {
  const [shared, clock] = [newShared(), manualClock()]
  const a = candidate(shared, clock, 'A', { snapshotEntries: 5 })
  await clock.settle()
  for (let i = 0; i < 6; i++) await a.seen.tenure!.persist([drainOp(`n${i}`)])
  await clock.settle()
  const snapshot = shared.entries.find(({ kind }) => kind === 'snapshot')!
  expect(snapshot.part).toEqual([1, 1])
  expect(snapshot.ops.length).toBeGreaterThanOrEqual(4)
  expect(shared.purged).toBe(shared.entries.indexOf(snapshot))
})

test('ops beyond the bound of an entry are cut in order; one that is too large stands alone', () => {
  const ops = ['aa', 'bb', 'cc'].map((node) => drainOp(node.repeat(20)))
  expect(pieces(ops, 100).map((piece) => piece.length)).toEqual([1, 1, 1])
  expect(pieces(ops, 200).map((piece) => piece.length)).toEqual([2, 1])
  expect(pieces(ops, 10).flat()).toEqual(ops)
  expect(pieces([], 10)).toEqual([[]])
})
