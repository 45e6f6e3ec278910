import { beforeEach, expect, test } from 'vitest'
import { startFactEmitter, type FactEmitter } from '../../../../src/actors/agent/fact-emitter.ts'
import { newFork } from '../../../../src/core/agent/agent-state.ts'
import { reportOf } from '../../../../src/core/agent/report.ts'
import { memoryServer } from '../../../support/memory-bus/memory-bus.ts'
import type { MemoryConnection } from '../../../support/memory-bus/connection.ts'
import { messengerOn } from '../../../../src/transport/messenger.ts'
import { ensureStreams } from '../../../../src/transport/streams.ts'
import { FORK, INCARNATION, specOf } from '../../../support/agent-steps.ts'
import { manualClock, type ManualClock } from '../../../support/manual-clock.ts'

let clock: ManualClock
let bus: MemoryConnection
let emitter: FactEmitter
let stored: string[]
let acked: string[]
function fact(what: Parameters<FactEmitter['emit']>[0]['what'], rev: number, forkId = FORK) {
  return {
    id: `${forkId}.${what}`,
    what,
    rev,
    report: reportOf({ ...newFork(specOf(forkId)), phase: 'running' }),
  }
}

beforeEach(async () => {
  clock = manualClock()
  const server = memoryServer(clock)
  bus = server.connect({ name: 'n0' })
  const watcher = server.connect({ name: 'watcher' })
  const made = ensureStreams(watcher, 'main')
  await clock.advance(10)
  await made
  stored = []
  acked = []
  messengerOn(watcher, 'main').listen(
    'event.worker',
    {},
    ({ body }) => void stored.push(`${body.forkId} ${body.what} ${body.rev}`),
  )
  emitter = startFactEmitter({
    messenger: messengerOn(bus, 'main'),
    node: 'n0',
    incarnation: INCARNATION,
    clock,
    onAcked: (_, what) => void acked.push(what),
    log: () => undefined,
  })
})

test('facts of a fork are told in order, each acknowledged before the next', async () => {
  for (const [rev, what] of (['prepared', 'started', 'exited'] as const).entries())
    emitter.emit(fact(what, rev))
  await clock.advance(100)
  expect(stored).toEqual([`${FORK} prepared 0`, `${FORK} started 1`, `${FORK} exited 2`])
  expect(acked).toEqual(['prepared', 'started', 'exited'])
  expect(emitter.waiting).toBe(0)
})

test('the bus is away: facts wait, the newest report takes the place of older ones, and all are told when it is back [FC-5]', async () => {
  bus.setLink(false)
  emitter.emit(fact('started', 1))
  for (let rev = 2; rev < 500; rev++) emitter.emit(fact(rev % 2 === 0 ? 'ready' : 'unready', rev))
  for (let rev = 500; rev < 1000; rev++) emitter.emit(fact('ranks', rev))
  emitter.emit(fact('exited', 1000))
  await clock.advance(60_000)
  expect(stored).toEqual([])
  bus.setLink(true)
  await clock.advance(10)
  expect(stored).toEqual([
    `${FORK} started 1`,
    `${FORK} unready 499`,
    `${FORK} ranks 999`,
    `${FORK} exited 1000`,
  ])
})

test('a fork whose fact is not taken does not hold up the others', async () => {
  emitter.emit({
    ...fact('started', 1),
    report: { ...fact('started', 1).report, pid: 'x' as unknown as number },
  })
  emitter.emit(fact('exited', 2))
  emitter.emit(fact('started', 3, 'run-1.trainer.1.1'))
  await clock.advance(10)
  expect(stored.toSorted()).toEqual([`${FORK} exited 2`, 'run-1.trainer.1.1 started 3'])
})

test('after the end nothing is told and nothing is acknowledged', async () => {
  bus.setLink(false)
  emitter.emit(fact('started', 1))
  emitter.stop()
  bus.setLink(true)
  await clock.advance(10_000)
  expect([stored, acked]).toEqual([[], []])
})
