/**
 * The coordinator's actor on the bus in memory: a launch that the state log will never take, a log that lost
 * its end, and an archive whose store is in error.
 */
import { expect, test } from 'vitest'
import { startCoordinator } from '../../../../src/actors/coordinator/coordinator.ts'
import type { CoordinatorSettings } from '../../../../src/core/coordinator/settings.ts'
import { encode } from '../../../../src/protocol/codec.ts'
import { Fault, isFault } from '../../../../src/protocol/faults.ts'
import { subjectOf } from '../../../../src/protocol/subjects.ts'
import { HEADERS, streamOf, type BodyOf } from '../../../../src/protocol/table.ts'
import { openStateLog } from '../../../../src/transport/bus-state-log.ts'
import type { Bus } from '../../../../src/transport/bus.ts'
import { messengerOn } from '../../../../src/transport/messenger.ts'
import { manualClock } from '../../../support/manual-clock.ts'
import { memoryServer } from '../../../support/memory-bus/memory-bus.ts'

const FLEET = 'f'
const WRITER = '01ARZ3NDEKTSV4RRFFQ69G5FA'
/** somebody else's server: it takes less than an entry of ours may be */
const PAYLOAD_MAX = 16_000

function fleet(over: (bus: Bus) => Bus = (bus) => bus, settings: Partial<CoordinatorSettings> = {}) {
  const clock = manualClock()
  const server = memoryServer(clock, {}, PAYLOAD_MAX)
  const people = messengerOn(server.connect({ name: 'people' }), FLEET, 'json')
  const said: Record<string, unknown>[] = []
  let starts = 0
  const start = async () => {
    const bus = over(server.connect({ name: 'coordinator' }))
    const coordinator = await startCoordinator({
      bus,
      stateLog: openStateLog(bus, FLEET, { clock }),
      fleet: FLEET,
      incarnation: `${WRITER}${++starts}`,
      clock,
      log: (fields) => void said.push(fields),
      settings,
    })
    await clock.advance(4000)
    return coordinator
  }
  const settled = async <T>(work: Promise<T>): Promise<T> => {
    work.catch(() => {})
    await clock.advance(3000)
    return work
  }
  const launch = (body: Record<string, unknown>, key: string) =>
    settled(
      people
        .ask('coordinator.launch', { user: 'ann' }, body, { headers: { [HEADERS.key]: key } })
        .catch((error: unknown) => error),
    )
  const queue = (body: Record<string, unknown>, key: string) =>
    settled(
      people.bus.append(subjectOf(FLEET, 'launch', { user: 'ann' }), encode(body, 'json'), {
        headers: { [HEADERS.key]: key },
      }),
    )
  const answer = (key: string) => settled(people.ask('coordinator.answer', { user: 'ann' }, { key }))
  const runs = async () =>
    (await settled(people.ask('coordinator.list', { user: 'ann' }, {}))).runs.map(({ run }) => run)
  const messages = (stream: 'LAUNCH' | 'EVENT' | 'STATE' | 'ARCHIVE') =>
    server.streams.get(streamOf(FLEET, stream))!.messages
  const events = () =>
    messages('EVENT').map(({ body }) => JSON.parse(new TextDecoder().decode(body)) as BodyOf<'event.run'>)
  return { clock, server, said, start, settled, people, launch, queue, answer, runs, messages, events }
}

function document(name: string, padding: number): Record<string, unknown> {
  const env = { BIG: 'x'.repeat(padding) }
  return { apiVersion: 'troupe/v1', name, env, roles: { a: { command: ['x'] } } }
}
/** the document fits the server, its resolved form does not */
const UNWRITABLE = document('big', 15_500)

test('a launch by request that the log will never take: refused with both numbers, remembered, nobody deposed, others run', async () => {
  const f = fleet()
  const coordinator = await f.start()
  const before = await f.launch(document('before', 10), 'k0')
  const refusal = await f.launch(UNWRITABLE, 'k1')
  expect(refusal).toMatchObject({
    code: 'REQUEST_INVALID',
    message: expect.stringMatching(/cannot be written: 16\d\d\d bytes .*; the server takes at most 16000/),
    data: { bytesMax: PAYLOAD_MAX },
  })
  expect(await f.launch(UNWRITABLE, 'k1')).toMatchObject({ code: 'REQUEST_INVALID' })
  expect(await f.launch(document('after', 10), 'k2')).toMatchObject({ existing: false })
  expect(await f.runs()).toEqual([expect.stringMatching(/^after-/), (before as { run: string }).run])
  expect(f.events().map(({ what, name }) => `${what} ${name}`)).toEqual(
    expect.arrayContaining(['accepted before', 'rejected big', 'accepted after']),
  )
  expect(f.events().some(({ what, name }) => what === 'accepted' && name === 'big')).toBe(false)
  expect(f.said.some(({ msg }) => msg === 'deposed')).toBe(false)
  expect(coordinator.role()).toBe('leader')
})

test('a queued launch that the log will never take: it is answered and leaves the queue, and the next one runs', async () => {
  const f = fleet()
  await f.start()
  await f.queue(UNWRITABLE, 'k1')
  await f.queue(document('after', 10), 'k2')
  expect(f.messages('LAUNCH')).toEqual([])
  expect(await f.answer('k1')).toMatchObject({ run: null, fault: { code: 'REQUEST_INVALID' } })
  expect(f.events().filter(({ what }) => what === 'rejected')).toMatchObject([{ name: 'big', key: 'k1' }])
  expect(await f.answer('k2')).toMatchObject({ run: expect.stringMatching(/^after-/), fault: null })
  expect(f.said.some(({ msg }) => msg === 'deposed')).toBe(false)
})

test('what was refused as unwritable is nothing to the next leader either', async () => {
  const f = fleet()
  const first = await f.start()
  await f.launch(UNWRITABLE, 'k1')
  await f.settled(first.stop())
  await f.start()
  expect(await f.answer('k1')).toMatchObject({ run: null, fault: { code: 'REQUEST_INVALID' } })
  expect(await f.runs()).toEqual([])
})

test('the end of the log is lost with a run in it: the next leader says so, and who asks for that run is told', async () => {
  const f = fleet()
  const first = await f.start()
  await f.launch(document('kept', 10), 'k1')
  const kept = f.messages('STATE').at(-1)!.seq
  const { run } = (await f.launch(document('lost', 10), 'k2')) as { run: string }
  await f.settled(first.stop())
  f.server.streams.get(streamOf(FLEET, 'STATE'))!.cutAfter(kept)
  expect(f.said.some(({ level }) => level === 'error')).toBe(false)
  await f.start()
  const text = expect.stringMatching(
    new RegExp(`run ${run} was accepted at .* neither in it nor in the archive`),
  )
  expect(f.said.filter(({ level }) => level === 'error')).toMatchObject([
    { msg: 'the state log lost history', text },
  ])
  const asked = await f.settled(
    f.people.ask('coordinator.status', { user: 'ann' }, { run }).catch((error: unknown) => error),
  )
  expect(isFault(asked, 'WORKER_NOT_FOUND') && asked.message).toMatch(/history was lost: run lost-/)
})

test('a node obeyed a later epoch of this store than the log ends with: said once', async () => {
  const f = fleet()
  await f.start()
  const storeId = `${WRITER}1`
  for (let tick = 1; tick <= 3; tick++)
    await f.settled(
      Promise.resolve(
        f.people.cast(
          'beat',
          { node: 'n0' },
          {
            incarnation: `${WRITER}9`,
            tick,
            rev: 0,
            loopLagMs: 0,
            epoch: { storeId, n: 7 },
            storeRefused: false,
            leaving: false,
            draining: false,
          },
        ),
      ),
    )
  expect(f.said.filter(({ level }) => level === 'error')).toMatchObject([
    { text: 'node n0 obeyed epoch 7, and the log ends with 1' },
  ])
})

/**
 * A server whose store of the archive is in error: it answers, and neither takes nor gives anything of it.
 */
function withArchiveInError(store: { inError: boolean; refused: number }): (bus: Bus) => Bus {
  return (bus) =>
    new Proxy(bus, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key, target)
        if (typeof value !== 'function') return value
        return (...args: unknown[]): unknown => {
          const isHit = ['append', 'getLast', 'getMessage', 'getMessages'].includes(String(key))
          if (!store.inError || !isHit || !/archive/i.test(String(args[0])))
            return Reflect.apply(value, target, args)
          store.refused++
          return Promise.reject(new Fault('FAILED', 'the server says: store error'))
        }
      },
    })
}

test('the archive is in error: an ended run keeps its status, the list says that it lacks runs, archiving goes on until it is well', async () => {
  const store = { inError: true, refused: 0 }
  // an ended run leaves memory as soon as it is archived
  const f = fleet(withArchiveInError(store), { endedKept: 0 })
  await f.start()
  const { run } = (await f.launch(document('ended', 10), 'k1')) as { run: string }
  await f.settled(f.people.ask('coordinator.stop', { user: 'ann' }, { run }))
  await f.clock.advance(60_000)
  const status = () => f.settled(f.people.ask('coordinator.status', { user: 'ann' }, { run }))
  const listed = () => f.settled(f.people.ask('coordinator.list', { user: 'ann' }, { all: true }))

  const ended = await status()
  expect(ended).toMatchObject({ run, endedAt: expect.any(Number) })
  expect(await listed()).toMatchObject({
    runs: [{ run }],
    partial: 'the archive of ended runs cannot be read now',
    next: null,
  })
  expect(store.refused).toBeGreaterThan(50)
  expect(f.messages('ARCHIVE')).toEqual([])
  expect(f.said.some(({ msg }) => String(msg).includes('given up'))).toBe(false)

  store.inError = false
  await f.clock.advance(3000)
  expect(f.messages('ARCHIVE')).toHaveLength(1)
  expect(await listed()).toMatchObject({ runs: [{ run }], partial: null })
  expect((await status()).state).toBe(ended.state)
})
