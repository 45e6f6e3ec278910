/**
 * A new leader: every run goes on, nothing is decided about a fork before its node has spoken, and no second
 * copy of anything.
 */
import { expect, test } from 'vitest'
import { coordinatorWith } from '../../../../support/coordinator-steps.ts'
import { rankOf } from '../../../../support/coordinator/reports.ts'
import { service, task, torchrun } from '../../../../support/coordinator/roles.ts'

function forks(c: ReturnType<typeof coordinatorWith>): string[] {
  return [...c.agents.values()].flatMap((agent) => [...agent.forks.keys()])
}

test('the coordinator dies while a run goes on: it goes on, with the same processes [FC-4]', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch({ roles: { trainer: torchrun('2x2') } })
  const before = c.status(run).workers.map(({ pid, forkId }) => [pid, forkId])
  c.forget()
  c.failover()
  expect(c.orders('prepare')).toEqual([])
  expect(c.orders('start')).toEqual([])
  expect(c.status(run).workers.map(({ pid, forkId }) => [pid, forkId])).toEqual(before)
  c.exit(run, 'trainer/0', { code: 0 })
  c.exit(run, 'trainer/1', { code: 0 })
  expect(c.status(run)).toMatchObject({ state: 'succeeded', code: 0 })
})

test('it dies while a node is away: what had started is running, no start deadline ticks, and the node’s word completes it [FC-4 FC-5]', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch({ roles: { job: task({ replicas: 2 }) }, deadlines: { start: '5s' } })
  const before = c.status(run).workers.map(({ pid }) => pid)
  c.silence('n1')
  c.failover()
  c.advance(60_000)
  expect(c.status(run)).toMatchObject({
    state: 'running',
    attempt: 1,
    workers: [{ state: 'running' }, { state: 'lost' }],
  })
  c.restart('n1')
  expect(c.status(run).workers.map(({ pid, state }) => [pid, state])).toEqual(
    before.map((pid) => [pid, 'running']),
  )
})

test('it dies and a node is away for good: what was known of its workers is still shown, pid, ports and ranks, and that they are lost [FC-5]', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch({ roles: { trainer: torchrun('2x1', { resources: { ports: 1 } }) } })
  for (const index of [0, 1]) c.report(run, `trainer/${index}`, { ranks: [rankOf(index, null)] })
  c.advance(2000)
  const { pid, addr, ports, ranks } = c.worker(run, 'trainer/1')
  expect([pid, ports.length, ranks[0]!.pid]).toEqual([expect.any(Number), 1, 1001])
  c.silence('n1')
  c.failover()
  expect(c.worker(run, 'trainer/1')).toMatchObject({ state: 'running', pid, addr, ports, ranks })
  c.advance(40_000)
  expect(c.worker(run, 'trainer/1')).toMatchObject({ state: 'lost', pid, addr, ports, ranks })
})

test('it dies between the intent and the order: the next one prepares the same forks [FC-4]', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  for (const agent of c.agents.values()) agent.hold.add('prepare')
  const run = c.launch({ roles: { trainer: torchrun('2x1') } })
  for (const agent of c.agents.values()) {
    agent.held = []
    agent.hold.clear()
  }
  c.failover()
  expect(c.status(run)).toMatchObject({ state: 'running', attempt: 1 })
  expect(forks(c).length).toBe(2)
})

test('it dies when one of two was started: the other is started too, with the addresses that the first has', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  c.agents.get('n1')!.hold.add('start')
  const run = c.launch({ roles: { trainer: torchrun('2x1') } })
  const first = c.orders('start').find(({ node }) => node === 'n0')!.body.forks[0]!.bindings.rendezvous
  c.agents.get('n1')!.held = []
  c.agents.get('n1')!.hold.clear()
  c.forget()
  c.failover()
  expect(c.status(run)).toMatchObject({ state: 'running', attempt: 1 })
  expect(c.orders('start').map(({ node }) => node)).toEqual(['n1'])
  expect(c.orders('start')[0]!.body.forks[0]!.bindings.rendezvous).toEqual(first)
})

test('it dies when one of two was started, and the other’s prepare lapses meanwhile: a new attempt for both, never half a gang', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  c.agents.get('n1')!.hold.add('start')
  const run = c.launch({ roles: { trainer: torchrun('2x1') } })
  const n1 = c.agents.get('n1')!
  n1.held = []
  n1.hold.clear()
  n1.forks.clear()
  c.failover()
  c.advance(2000)
  expect(c.status(run)).toMatchObject({ state: 'running', attempt: 2 })
  expect(c.status(run).workers.map(({ attempt }) => attempt)).toEqual([2, 2])
  expect(forks(c).toSorted()).toEqual([`${run}.trainer.0.2`, `${run}.trainer.1.2`])
})

test('a worker exits while no coordinator is there: the next one learns the true exit', () => {
  const c = coordinatorWith({ n0: {} })
  const run = c.launch({ roles: { job: task() } })
  const agent = c.agents.get('n0')!
  const [fork] = agent.forks.values()
  fork!.report = {
    ...fork!.report,
    phase: 'gone',
    exit: { code: 3, signal: null, oom: null, unknown: null, killedBy: null },
    exitedAt: c.wall(),
    receipt: { outcome: 'gone', survivors: [], reason: null, ms: 1 },
    logsFinal: {},
  }
  c.failover()
  expect(c.status(run)).toMatchObject({ state: 'failed', code: 3 })
})

test('before a node has told its forks nothing is decided about them', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch({ roles: { job: task({ replicas: 2 }) } })
  c.forget()
  c.failoverUnheard()
  c.beat('n0')
  expect(c.orders().map(({ verb }) => verb)).toEqual(['inventory'])
  expect(c.status(run).state).toBe('running')
})

test('a run was being stopped: the next coordinator ends it', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch({ roles: { api: service(), job: task({ dependsOn: { api: 'started' } }) } })
  for (const agent of c.agents.values()) agent.hold.add('kill')
  c.ask('stop', { run })
  for (const agent of c.agents.values()) {
    agent.held = []
    agent.hold.clear()
  }
  c.failover()
  expect(c.status(run)).toMatchObject({ state: 'cancelled', code: 130 })
})

test('a role was to be restarted: the next coordinator starts it again, and never takes it for done', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch({
    roles: { trainer: torchrun('2x1', { restart: { policy: 'on-failure', max: 2, backoff: ['1s', '5s'] } }) },
  })
  const { node } = c.worker(run, 'trainer/0')
  c.agents.get(node!)!.hold.add('kill')
  c.exit(run, 'trainer/1', { code: 1 })
  c.agents.get(node!)!.held = []
  c.agents.get(node!)!.hold.clear()
  c.failover()
  c.advance(3000)
  expect(c.status(run)).toMatchObject({ state: 'running', attempt: 2 })
  expect(c.status(run).workers.map(({ attempt }) => attempt)).toEqual([2, 2])
})

test('an attempt was being voided: the next coordinator tries again, and never takes it for done', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const n1 = c.agents.get('n1')!
  n1.refuse.set('prepare', [{ code: 'PORT_ALLOC', message: 'none', data: {}, retryable: true }])
  for (const agent of c.agents.values()) agent.hold.add('cancel')
  const run = c.launch({ roles: { trainer: torchrun('2x1') } })
  for (const agent of c.agents.values()) {
    agent.held = []
    agent.hold.clear()
  }
  c.failover()
  c.advance(3000)
  expect(c.status(run)).toMatchObject({ state: 'running', attempt: 2 })
})

test('a state is told again by the next coordinator, under the same id', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { job: task() } })
  const [told] = c.events('running')
  c.forget()
  c.failover()
  expect(c.events('running').map((event) => event.body.id)).toEqual([told!.body.id])
  c.exit(run, 'job/0', { code: 0 })
  const [ended] = c.events('ended')
  c.forget()
  c.failover()
  expect(c.events('ended').map((event) => event.body.id)).toEqual([ended!.body.id])
})

test('an agent may forget a fork only behind the entry that has its exit and receipt', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { job: task() } })
  c.forget()
  c.exit(run, 'job/0', { code: 0 })
  const release = c.commands.findIndex(
    (command) => command.kind === 'order' && command.order.verb === 'release',
  )
  const entry = c.commands.findIndex(
    (command) => command.kind === 'persist' && JSON.stringify(command.ops).includes('"phase":"ended"'),
  )
  expect(entry).toBeGreaterThanOrEqual(0)
  expect(entry).toBeLessThan(release)
})

test('the order to forget was lost: given again when the node tells what it still has', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { job: task() } })
  c.agents.get('n0')!.hold.add('release')
  c.exit(run, 'job/0', { code: 0 })
  c.agents.get('n0')!.held = []
  c.agents.get('n0')!.hold.clear()
  c.failover()
  expect(forks(c)).toEqual([])
})

test('the store was made anew: forks of no known run are listed and left alone; what is over is forgotten', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { job: task({ replicas: 2 }) } })
  c.agents.get('n0')!.hold.add('release')
  c.exit(run, 'job/0', { code: 0 })
  c.agents.get('n0')!.hold.clear()
  for (const map of [c.durable.runs, c.durable.specs, c.durable.keys]) map.clear()
  c.forget()
  c.failover()
  expect(c.ask('nodes', {}).body.nodes[0].unowned).toEqual([`${run}.job.1.1`])
  expect(c.orders('kill')).toEqual([])
  expect(c.orders('cancel')).toEqual([])
  expect(forks(c)).toEqual([`${run}.job.1.1`])
  expect(c.ask('kill', { run }).fault).toMatchObject({
    code: 'WORKER_NOT_FOUND',
    message: expect.stringContaining('unowned, on n0'),
    hint: expect.stringContaining('troupe down'),
  })
})

test('ended runs beyond the bound go to the archive, and are dropped when they are there [U-11 +U6]', () => {
  const c = coordinatorWith({ n0: {} }, { endedKept: 2 })
  const runs = [0, 1, 2, 3].map(() => {
    const run = c.launch({ roles: { job: task() } })
    c.exit(run, 'job/0', { code: 0 })
    return run
  })
  const archived = c.commands.flatMap((command) => (command.kind === 'archive' ? [command.status] : []))
  expect(archived.map(({ run, state }) => [run, state])).toEqual(
    runs.slice(0, 2).map((run) => [run, 'succeeded']),
  )
  expect(c.durable.runs.size).toBe(4)
  for (const { run } of archived) c.step({ kind: 'archived', run })
  expect([...c.durable.runs.keys()].toSorted()).toEqual(runs.slice(2).toSorted())
  expect(c.ask('status', { run: runs[0]! }).fault).toMatchObject({ code: 'WORKER_NOT_FOUND' })
})

test('reading changes nothing [U-11 +U5]', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { job: task() } })
  c.forget()
  for (const [verb, body] of [
    ['status', { run }],
    ['list', { all: true }],
    ['explain', { run }],
    ['nodes', {}],
  ] as const)
    c.ask(verb, body)
  expect(c.commands.filter(({ kind }) => kind === 'persist' || kind === 'order')).toEqual([])
})
