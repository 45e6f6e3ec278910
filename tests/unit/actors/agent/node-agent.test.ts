/**
 * The real agent over a simulated machine and an in-memory bus: what needs a frozen, dead or second agent,
 * moment by moment.
 */
import { beforeEach, expect, test } from 'vitest'
import { startNodeAgent, type AgentHandle } from '../../../../src/actors/agent/node-agent.ts'
import { encode } from '../../../../src/protocol/codec.ts'
import { orderHeaders } from '../../../../src/protocol/order-headers.ts'
import type { AgentMemory } from '../../../../src/process/agent-store.ts'
import { subjectOf } from '../../../../src/protocol/subjects.ts'
import { HEADERS, MSGPACK, type BodyOf } from '../../../../src/protocol/table.ts'
import { ulid } from '../../../../src/system/ulid.ts'
import { memoryServer, type MemoryServer } from '../../../support/memory-bus/memory-bus.ts'
import type { MemoryConnection } from '../../../support/memory-bus/connection.ts'
import { messengerOn, type Messenger } from '../../../../src/transport/messenger.ts'
import { ensureStreams } from '../../../../src/transport/streams.ts'
import { EPOCH, FORK, specOf } from '../../../support/agent-steps.ts'
import { manualClock, type ManualClock } from '../../../support/manual-clock.ts'
import { randomOf } from '../../../support/random.ts'
import { simMachine, type MachineFact, type SimMachine } from '../../../support/sim-host.ts'
import { simLogStore } from '../../../support/sim-log-store.ts'
import { simProcess, type SimProcess } from '../../../support/sim-process.ts'

let clock: ManualClock
let server: MemoryServer
let machine: SimMachine
let history: MachineFact[]
let coordinator: Messenger
let events: BodyOf<'event.worker'>[]
let beat: BodyOf<'beat'> & { arrivedAt: number }
const marks = new Map()
const memory: AgentMemory = { epoch: null }

interface Running {
  process: SimProcess
  bus: MemoryConnection
  handle: Promise<AgentHandle>
  incarnation: string
}
function startAgent(name: string): Running {
  const process = simProcess({ name, clock, nowOffset: 5000, wallOffset: 0 })
  const bus = server.connect({ name, clock: process.clock, hooks: process.hooks })
  const logBus = server.connect({ name: `${name}-logs`, clock: process.clock, hooks: process.hooks })
  const incarnation = ulid()
  const handle = startNodeAgent({
    bus,
    logBus,
    fleet: 'main',
    node: 'n0',
    incarnation,
    host: machine.host(process),
    logs: simLogStore(machine, process, marks, randomOf(1)),
    clock: process.clock,
    pid: 1,
    store: {
      read: () => Promise.resolve(structuredClone(memory)),
      write: async (next) => void Object.assign(memory, next),
    },
    log: () => undefined,
  })
  return { process, bus, handle, incarnation }
}
async function order(
  verb: 'prepare' | 'start' | 'kill',
  to: Running,
  body: unknown,
  notAfter = beat.tick + (clock.now() - beat.arrivedAt) + 500,
): Promise<{ reply?: any; code?: string }> {
  let outcome: { reply?: any; code?: string } = {}
  void coordinator
    .ask(`node.${verb}` as 'node.kill', { node: 'n0', incarnation: to.incarnation }, body as never, {
      headers: orderHeaders({ epoch: EPOCH, notAfter }),
      timeoutMs: 20_000,
    })
    .then(
      (reply) => (outcome = { reply }),
      (fault: { code: string }) => (outcome = { code: fault.code }),
    )
  await clock.advance(200)
  return outcome
}
async function launch(to: Running, command: string[]): Promise<void> {
  const { reply } = await order('prepare', to, { forks: [specOf(FORK, { command })], lapseMs: 5000 })
  expect(
    (
      await order('start', to, {
        token: reply.token,
        forks: [{ forkId: FORK, bindings: { roles: {}, rendezvous: null } }],
      })
    ).reply.forks[0].phase,
  ).toBe('running')
}
const killOrder = {
  forks: [{ forkId: FORK, signal: 'SIGTERM', graceMs: 100, killedBy: { by: 'user', name: 'me' } }],
}
function whats(): string[] {
  return events.map((event) => event.what)
}

beforeEach(async () => {
  clock = manualClock()
  server = memoryServer(clock, { hopMs: () => 1, copies: () => [0], call: () => 'done' })
  history = []
  events = []
  marks.clear()
  memory.epoch = null
  beat = undefined as never
  machine = simMachine({ node: 'n0', clock, random: randomOf(1), tell: (fact) => history.push(fact) })
  const bus = server.connect({ name: 'coordinator' })
  coordinator = messengerOn(bus, 'main')
  coordinator.listen('event.worker', {}, ({ body }) => void events.push(body))
  coordinator.listen('beat', {}, ({ body }) => void (beat = { ...body, arrivedAt: clock.now() }))
})
async function openStreams(): Promise<void> {
  const made = ensureStreams(coordinator.bus, 'main')
  await clock.advance(10)
  await made
  void coordinator.bus.append(subjectOf('main', 'state', {}), encode({ epoch: EPOCH }, 'msgpack'), {
    headers: { [HEADERS.contentType]: MSGPACK },
  })
  await clock.advance(10)
}

test('without the state log an agent hears nobody; it joins when the log is there, with the epoch that stands in it', async () => {
  const agent = startAgent('a')
  await clock.advance(3000)
  expect(beat).toBeUndefined()
  await openStreams()
  await clock.advance(1000)
  expect(beat).toMatchObject({ incarnation: agent.incarnation, epoch: EPOCH })
  expect(memory.epoch).toEqual(EPOCH)
})

test('a kill that waited in a frozen agent is EXPIRED when it thaws, and the worker lives', async () => {
  await openStreams()
  const agent = startAgent('a')
  await clock.advance(1000)
  await launch(agent, ['sim'])
  agent.process.freeze()
  let code: string | undefined
  const headers = orderHeaders({ epoch: EPOCH, notAfter: beat.tick + (clock.now() - beat.arrivedAt) + 500 })
  void coordinator
    .ask('node.kill', { node: 'n0', incarnation: agent.incarnation }, killOrder, {
      headers,
      timeoutMs: 20_000,
    })
    .catch((fault: { code: string }) => (code = fault.code))
  await clock.advance(3000)
  expect(code).toBeUndefined()
  agent.process.thaw()
  await clock.advance(500)
  expect(code).toBe('EXPIRED')
  expect(machine.alive(FORK)).toBe(1)
  expect(history.some((fact) => fact.what === 'signalled')).toBe(false)
})

test('a second agent takes the spool: the worker goes on under it, the first one touches nothing any more and ends', async () => {
  await openStreams()
  const first = startAgent('a')
  await clock.advance(1000)
  await launch(first, ['sim', 'log=1000'])
  // a stopped process cannot be heard and cannot hear; the newcomer takes the lock
  first.process.freeze()
  const second = startAgent('b')
  await clock.advance(1000)
  expect(machine.owner).toBe(second.process)
  expect(beat.incarnation).toBe(second.incarnation)
  expect((await order('kill', second, killOrder)).reply.forks[0].phase).toBe('stopping')
  await clock.advance(2000)
  expect(whats()).toEqual(['prepared', 'started', 'exited', 'gone', 'logs-final'])
  expect(events.find((event) => event.what === 'exited')!.exit).toMatchObject({
    signal: 'SIGTERM',
    killedBy: { by: 'user', name: 'me' },
  })
})

test('an agent that finds its spool taken ends as superseded', async () => {
  await openStreams()
  const first = startAgent('a')
  await clock.advance(1000)
  const handle = await first.handle
  // the newcomer's lock, without its kill having worked yet
  const stand = machine.host(simProcess({ name: 'b', clock, nowOffset: 0, wallOffset: 0 }))
  const survivor = first.process.kill
  Object.assign(first.process, { kill: () => undefined })
  void stand.recover()
  await clock.advance(100)
  Object.assign(first.process, { kill: survivor })
  let why: string | undefined
  void handle.ended.then((end) => (why = end.why))
  await order('prepare', first, { forks: [specOf(FORK)], lapseMs: 5000 })
  expect(why).toBe('superseded')
  expect(history).toEqual([])
})

test('the agent dies between a kill’s note and its signal: the next one carries the order out, and the exit says who gave it', async () => {
  await openStreams()
  const first = startAgent('a')
  await clock.advance(1000)
  await launch(first, ['sim'])
  first.process.crashBefore((label) => label.startsWith('host.signal'))
  await order('kill', first, killOrder)
  await clock.advance(1000)
  expect(first.process.alive).toBe(false)
  expect(machine.alive(FORK)).toBe(1)
  startAgent('b')
  await clock.advance(3000)
  expect(machine.alive(FORK)).toBe(0)
  expect(events.filter((event) => event.what === 'exited').map((event) => event.exit)).toMatchObject([
    { signal: 'SIGTERM', killedBy: { by: 'user', name: 'me' } },
  ])
  expect(whats().filter((what) => what === 'started')).toHaveLength(1)
})

test('the link falls while a worker ends: it is told, once each, when the link is back [FC-5]', async () => {
  await openStreams()
  const agent = startAgent('a')
  await clock.advance(1000)
  await launch(agent, ['sim', 'life=500', 'code=4'])
  agent.bus.setLink(false)
  await clock.advance(30_000)
  expect(whats()).toEqual(['prepared', 'started'])
  agent.bus.setLink(true)
  await clock.advance(1000)
  expect(whats()).toEqual(['prepared', 'started', 'exited', 'gone', 'logs-final'])
  expect(beat.rev).toBe(5)
})
