import { expect, test } from 'vitest'
import type { FakeAgent } from '../../../../support/coordinator/agent.ts'
import { coordinatorWith, type Story } from '../../../../support/coordinator-steps.ts'
import { fault } from '../../../../support/coordinator/reports.ts'
import { task } from '../../../../support/coordinator/roles.ts'

test('a node comes back with an empty spool: its worker is called off for good, and counts as lost only then', () => {
  const c = coordinatorWith({ n0: {}, n1: {}, n2: {} })
  const run = c.launch({ roles: { job: task({ nodelist: ['n1'] }) } })
  c.advance(2000)
  c.silence('n1')
  c.advance(4000)
  c.agents.get('n1')!.forks.clear()
  c.restart('n1')
  expect(c.orders('cancel').flatMap(({ body }) => body.forks)).toEqual([`${run}.job.0.1`])
  expect(c.status(run)).toMatchObject({ state: 'lost', code: 125 })
  expect(c.worker(run, 'job/0').exit).toMatchObject({ unknown: 'its node lost its spool' })
})

test('facts are missed: the next beat says so, and the inventory brings them', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { job: task() } })
  const agent = c.agents.get('n0')!
  const [fork] = agent.forks.values()
  fork!.report = {
    ...fork!.report,
    phase: 'gone',
    exit: { code: 0, signal: null, oom: null, unknown: null, killedBy: null },
    exitedAt: c.wall(),
    receipt: { outcome: 'gone', survivors: [], reason: null, ms: 1 },
  }
  agent.rev += 2
  c.advance(1000)
  expect(c.status(run).state).toBe('succeeded')
})

/** A node with ten workers, three forks a page; its orders are answered by hand from the first page on. */
function pagewise(): { c: Story; run: string; agent: FakeAgent; answerOne(): void; pages(): number } {
  const c = coordinatorWith({ n0: { cpus: 16 } })
  const run = c.launch({ roles: { job: task({ replicas: 10, failFast: false }) } })
  const agent = c.agents.get('n0')!
  c.advance(1000)
  agent.pageCount = 3
  agent.hold.add('inventory')
  c.forget()
  c.restart('n0')
  return {
    c,
    run,
    agent,
    answerOne: () => c.answerHeld('n0'),
    pages: () => c.orders('inventory').length,
  }
}

test('an inventory is believed when its last page has come: until then no fork is missing', () => {
  const { c, run, agent, answerOne, pages } = pagewise()
  agent.forks.delete(`${run}.job.9.1`)
  answerOne()
  expect(c.ask('nodes', {}).body.nodes[0].reason).toBe('its inventory has not come yet')
  expect(c.status(run).workers.map((w) => w.state)).toEqual(Array(10).fill('running'))
  answerOne()
  answerOne()
  expect(c.ask('nodes', {}).body.nodes[0].reason).toBeNull()
  expect(pages()).toBe(3)
  expect(c.worker(run, 'job/9').exit).toMatchObject({ unknown: 'its node lost its spool' })
  expect(c.worker(run, 'job/8')).toMatchObject({ state: 'running', reason: null })
})

test('a fact between two pages about a fork of the first page is missed: the inventory is read again', () => {
  const { c, run, agent, answerOne } = pagewise()
  answerOne()
  const fork = agent.forks.get(`${run}.job.0.1`)!
  fork.report = {
    ...fork.report,
    phase: 'gone',
    exit: { code: 0, signal: null, oom: null, unknown: null, killedBy: null },
    exitedAt: c.wall(),
    receipt: { outcome: 'gone', survivors: [], reason: null, ms: 1 },
  }
  agent.rev += 2
  for (let page = 0; page < 3; page++) answerOne()
  expect(c.worker(run, 'job/0').state).toBe('running')
  agent.hold.clear()
  c.advance(1000)
  expect(c.worker(run, 'job/0')).toMatchObject({ state: 'exited', exit: { code: 0 } })
})

test('a page that never comes: the inventory begins anew, and nothing of the half is held against a fork', () => {
  const { c, run, agent, answerOne, pages } = pagewise()
  answerOne()
  c.failHeld('n0', fault('TIMEOUT'))
  expect(c.status(run).workers.every((w) => w.state === 'running')).toBe(true)
  agent.hold.clear()
  c.advance(1000)
  expect(c.ask('nodes', {}).body.nodes[0].reason).toBeNull()
  expect(c.orders('inventory').filter((order) => order.body.from === undefined)).toHaveLength(2)
  expect(pages()).toBe(6)
})

test('unowned forks are listed while the inventory is read; those on no page are gone', () => {
  const { c, agent, answerOne } = pagewise()
  for (let page = 0; page < 4; page++) answerOne()
  c.state.nodes.get('n0')!.unowned.set('old.job.0.1', { gpus: 0, cpus: 0 })
  const unowned = (): string[] => c.ask('nodes', {}).body.nodes[0].unowned
  agent.rev++
  c.advance(1000)
  for (let page = 0; page < 3; page++) answerOne()
  expect(unowned()).toEqual(['old.job.0.1'])
  answerOne()
  expect(unowned()).toEqual([])
})

test('a frozen older agent wakes and beats beside the newer one: the newer stays', () => {
  const c = coordinatorWith()
  const agent = c.agents.get('n0')!
  const old = agent.incarnation
  c.advance(1000)
  c.restart('n0')
  c.step({
    kind: 'beat',
    node: 'n0',
    incarnation: old,
    tick: 1,
    rev: 0,
    loopLagMs: 0,
    storeRefused: false,
    leaving: false,
    draining: false,
  })
  expect(c.ask('nodes', {}).body.nodes[0].incarnation).toBe(agent.incarnation)
})

test('a report about a fork from a node where it was not placed is dropped', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch({ roles: { job: task({ nodelist: ['n0'] }) } })
  const [fork] = c.agents.get('n0')!.forks.values()
  c.step({
    kind: 'report',
    node: 'n1',
    incarnation: c.agents.get('n1')!.incarnation,
    rev: 1,
    report: {
      ...fork!.report,
      phase: 'gone',
      exit: { code: 0, signal: null, oom: null, unknown: null, killedBy: null },
    },
  })
  expect(c.status(run).state).toBe('running')
})

test('a late fact of an old attempt changes nothing', () => {
  const c = coordinatorWith()
  const run = c.launch({
    roles: { job: task({ restart: { policy: 'on-failure', max: 3, backoff: ['100ms', '1s'] } }) },
  })
  const [fork] = c.agents.get('n0')!.forks.values()
  const report = {
    ...fork!.report,
    phase: 'exited' as const,
    exit: { code: 9, signal: null, oom: null, unknown: null, killedBy: null },
  }
  c.exit(run, 'job/0', { code: 1 })
  c.advance(1000)
  expect(c.worker(run, 'job/0')).toMatchObject({ attempt: 2, state: 'running' })
  c.step({ kind: 'report', node: 'n0', incarnation: c.agents.get('n0')!.incarnation, rev: 99, report })
  expect(c.worker(run, 'job/0')).toMatchObject({ attempt: 2, state: 'running' })
})
