/**
 * Runs of thousands: a step does its share, other events come between, and a new leader goes on with the
 * rest.
 */
import { expect, test } from 'vitest'
import type { CoordinatorCommand } from '../../../../../src/core/coordinator/messages.ts'
import { COORDINATOR_DEFAULTS } from '../../../../../src/core/coordinator/settings.ts'
import { coordinatorWith, type Story } from '../../../../support/coordinator-steps.ts'
import { fault } from '../../../../support/coordinator/reports.ts'
import { task } from '../../../../support/coordinator/roles.ts'

const STEP_WORKERS_MAX = COORDINATOR_DEFAULTS.stepWorkersMax
const N = 2 * STEP_WORKERS_MAX + 500
const FREE = { cpus: 0 }

function many(more = {}): Record<string, unknown> {
  return { roles: { job: task({ replicas: N, resources: FREE, ...more }) } }
}

/** Workers that one step records, and those that it gives orders to. */
function handled(commands: readonly CoordinatorCommand[]): number[] {
  let [recorded, ordered] = [0, 0]
  for (const command of commands) {
    if (command.kind === 'persist')
      for (const op of command.ops) if (op.op === 'run') recorded += op.run.workers.length
    if (command.kind !== 'order' || !('forks' in command.order.body)) continue
    // what is over is forgotten in orders of their own, of 500 at most
    if (command.order.verb !== 'release') ordered += command.order.body.forks.length
  }
  return [recorded, ordered]
}

/** One event may tell of as many workers as one order had: they are recorded with the step's own share. */
function isShared(c: Story): boolean {
  return c.steps.every((commands) => {
    const [recorded, ordered] = handled(commands)
    return recorded! <= 2 * STEP_WORKERS_MAX && ordered! <= STEP_WORKERS_MAX
  })
}

/** The launch is heard, and nothing after it. */
function hear(c: Story, document: Record<string, unknown>): string {
  const body = { apiVersion: 'troupe/v1', name: 'job', ...document }
  const out = c.step({ kind: 'request', id: 900, verb: 'launch', user: 'me', key: 'k', body } as never)
  return (out.find(({ kind }) => kind === 'reply') as { body: { run: string } } & CoordinatorCommand).body.run
}

function attempts(c: Story, run: string): Record<number, number> {
  const counts: Record<number, number> = {}
  for (const { attempt } of c.status(run).workers) counts[attempt] = (counts[attempt] ?? 0) + 1
  return counts
}

/** How many are prepared before the first start leaves. */
function preparedBeforeStart(c: Story): number {
  const orders = c.orders()
  const first = orders.findIndex(({ verb }) => verb === 'start')
  return orders
    .slice(0, first)
    .reduce((sum, order) => sum + (order.verb === 'prepare' ? order.body.forks.length : 0), 0)
}

test('a run of thousands is launched, ends and is recorded: no step handles more workers than one may, and it is one gang', () => {
  const c = coordinatorWith({ n0: {} })
  c.forget()
  const run = c.launch(many())
  expect(c.status(run)).toMatchObject({ state: 'running', roles: [{ ready: N }] })
  expect([preparedBeforeStart(c), attempts(c, run)]).toEqual([N, { 1: N }])
  for (let i = 0; i < N; i++) c.step(endOf(c, run, i))
  c.pump()
  expect(c.status(run)).toMatchObject({ state: 'succeeded', code: 0 })
  expect(isShared(c)).toBe(true)
})

function endOf(c: Story, run: string, index: number): Parameters<Story['step']>[0] {
  const agent = c.agents.get('n0')!
  const { report } = agent.forks.get(`${run}.job.${index}.1`)!
  const exit = { code: 0, signal: null, oom: null, unknown: null, killedBy: null }
  const receipt = { outcome: 'gone' as const, survivors: [], reason: null, ms: 1 }
  return {
    kind: 'report',
    node: 'n0',
    incarnation: agent.incarnation,
    rev: ++agent.rev,
    report: { ...report, phase: 'gone', ready: false, exit, exitedAt: c.wall(), receipt, logsFinal: {} },
  }
}

test.each(['stop', 'kill'] as const)(
  'a run of thousands has to %s: each step tells its share, the first worker last',
  (verb) => {
    const c = coordinatorWith({ n0: {} })
    const run = c.launch(many())
    c.forget()
    c.ask(verb, { run })
    expect(c.status(run)).toMatchObject({ state: 'cancelled' })
    expect(isShared(c)).toBe(true)
    const last = c.orders('kill').at(-1)!
    expect(last.body.forks.some(({ forkId }) => forkId === `${run}.job.0.1`)).toBe(true)
  },
)

test('while a run of thousands is launched others are served: a status, a beat, a small launch', () => {
  const c = coordinatorWith({ n0: {} })
  const run = hear(c, many())
  expect(c.state.goingOn).toBe(true)
  const { placed, waiting } = c.state.runs.get(run)!.roles[0]!.counts
  expect([placed > 0, placed <= STEP_WORKERS_MAX, placed + waiting]).toEqual([true, true, N])
  const status = c.step({
    kind: 'request',
    id: 901,
    verb: 'status',
    user: 'me',
    key: null,
    body: { run },
  } as never)
  expect(status.map(({ kind }) => kind)).toContain('reply')
  const { incarnation, rev } = c.agents.get('n0')!
  const beat = { node: 'n0', incarnation, tick: 1, rev, loopLagMs: 7, storeRefused: false, leaving: false }
  c.step({ kind: 'beat', ...beat, draining: false })
  expect(c.state.nodes.get('n0')!.loopLagMs).toBe(7)
  const small = c.launch({ name: 'small', roles: { job: task({ resources: FREE }) } })
  expect([c.status(small).state, c.status(run).state]).toEqual(['running', 'running'])
})

test('it is stopped while it is launched: those that were placed are ended, the others are never placed', () => {
  const c = coordinatorWith({ n0: {} })
  const run = hear(c, many())
  c.step({ kind: 'request', id: 901, verb: 'stop', user: 'me', key: null, body: { run } } as never)
  c.pump()
  expect(c.status(run).state).toBe('cancelled')
  expect(c.orders('start')).toEqual([])
  expect(Object.keys(attempts(c, run))).toEqual(['0', '1'])
  expect(c.durable.runs.get(run)!.head.launching).toEqual({})
})

test('the coordinator dies between two slices: the next one goes on with the same attempt, and starts nothing before it has all', () => {
  const c = coordinatorWith({ n0: {} })
  const run = hear(c, many())
  expect(c.durable.runs.get(run)!.head.launching).toEqual({ job: 1 })
  c.forget()
  c.failover()
  expect(c.status(run)).toMatchObject({ state: 'running', roles: [{ ready: N }] })
  expect([preparedBeforeStart(c), attempts(c, run)]).toEqual([N, { 1: N }])
  expect(c.durable.runs.get(run)!.head.launching).toEqual({})
})

test('a prepare is refused while the rest is still being placed: all of it is tried again together', () => {
  const c = coordinatorWith({ n0: {} })
  c.agents.get('n0')!.refuse.set('prepare', [fault('PORT_ALLOC')])
  const run = c.launch(many())
  c.advance(1000)
  expect(c.status(run)).toMatchObject({ state: 'running', roles: [{ ready: N }] })
  expect(attempts(c, run)).toEqual({ 2: N })
  expect(preparedBeforeStart(c)).toBeGreaterThanOrEqual(N)
})

test('thousands of runs are due at once: a step decides on its share, and a request is answered before the rest', () => {
  const c = coordinatorWith({})
  for (let i = 0; i < STEP_WORKERS_MAX + 200; i++)
    c.launch({ name: `r${i}`, roles: { job: task({ resources: FREE, nodelist: ['late'] }) } })
  const [first] = c.state.runs.keys()
  for (const run of c.state.runs.values()) c.state.dirty.add(run)
  c.step({ kind: 'link', up: true })
  expect([c.state.dirty.size, c.state.goingOn]).toEqual([200, true])
  expect(c.ask('status', { run: first }).body).toMatchObject({ state: 'pending' })
  expect(c.state.dirty.size).toBe(0)
})

test('runs of thousands go to the archive: one in a step', () => {
  const c = coordinatorWith({ n0: {} }, { endedKept: 0 })
  for (const name of ['a', 'b']) c.ask('stop', { run: c.launch({ ...many(), name }) })
  const archived = c.steps.map((commands) => commands.filter(({ kind }) => kind === 'archive').length)
  expect([Math.max(...archived), archived.reduce((sum, n) => sum + n, 0)]).toEqual([1, 2])
})
