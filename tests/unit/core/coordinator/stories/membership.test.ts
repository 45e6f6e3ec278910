/** Nodes that fall silent, come back, are doubled or go for good; and what their workers are meanwhile. */
import { expect, test } from 'vitest'
import { coordinatorWith } from '../../../../support/coordinator-steps.ts'
import { task, torchrun } from '../../../../support/coordinator/roles.ts'

function stateOf(c: ReturnType<typeof coordinatorWith>, node: string): string {
  return c.ask('nodes', {}).body.nodes.find((one: { node: string }) => one.node === node)?.state
}

test('a node is silent: suspect after 3 s, lost after 30 s; its worker is lost, the run goes on with that reason and nothing is killed or moved', () => {
  const c = coordinatorWith({ n0: {}, n1: {}, n2: {} })
  const run = c.launch({ roles: { job: task({ replicas: 3 }) } })
  c.silence('n1')
  c.forget()
  c.advance(3500)
  expect(stateOf(c, 'n1')).toBe('suspect')
  c.advance(28_000)
  expect(stateOf(c, 'n1')).toBe('lost')
  const lost = c.status(run).workers.find(({ node }) => node === 'n1')!
  expect(lost.state).toBe('lost')
  expect(c.status(run)).toMatchObject({
    state: 'running',
    reason: expect.stringContaining(`${lost.worker} is lost: node n1 is silent`),
  })
  expect(c.orders('kill')).toEqual([])
  expect(c.orders('prepare')).toEqual([])
  expect(
    c
      .events('lost')
      .map(({ row }) => row)
      .toSorted(),
  ).toEqual(['event.lost', 'event.node'])
})

test('it comes back: the worker runs as before', () => {
  const c = coordinatorWith({ n0: {}, n1: {}, n2: {} })
  const run = c.launch({ roles: { job: task({ replicas: 3 }) } })
  const { pid } = c.status(run).workers.find(({ node }) => node === 'n1')!
  c.silence('n1')
  c.advance(40_000)
  c.restart('n1')
  expect(c.status(run).workers.find(({ node }) => node === 'n1')).toMatchObject({
    state: 'running',
    pid,
    attempt: 1,
  })
})

test('it comes back with an exit: the true one', () => {
  const c = coordinatorWith({ n0: {}, n1: {}, n2: {} })
  const run = c.launch({ roles: { job: task({ replicas: 3 }) } })
  c.silence('n1')
  c.advance(40_000)
  const [fork] = c.agents.get('n1')!.forks.values()
  fork!.report = {
    ...fork!.report,
    phase: 'gone',
    exit: { code: 42, signal: null, oom: null, unknown: null, killedBy: null },
    exitedAt: c.wall(),
    receipt: { outcome: 'gone', survivors: [], reason: null, ms: 1 },
  }
  c.restart('n1')
  expect(c.status(run)).toMatchObject({ state: 'failed', code: 42 })
})

test('the server says that the connection ended: suspect at once', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  c.silence('n1')
  c.step({ kind: 'node-disconnected', node: 'n1', incarnation: c.agents.get('n1')!.incarnation, link: 1 })
  expect(stateOf(c, 'n1')).toBe('suspect')
  c.step({ kind: 'node-disconnected', node: 'n0', incarnation: 'an old one', link: 1 })
  expect(stateOf(c, 'n0')).toBe('ready')
})

test('the end of a connection that the agent has left for a newer one says nothing', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const { incarnation } = c.agents.get('n1')!
  const agent = c.agents.get('n1')!
  c.step({
    kind: 'beat',
    node: 'n1',
    incarnation,
    tick: 1,
    rev: agent.rev,
    loopLagMs: 0,
    storeRefused: false,
    leaving: false,
    draining: false,
    link: 2,
  })
  c.silence('n1')
  c.step({ kind: 'node-disconnected', node: 'n1', incarnation, link: 1 })
  expect(stateOf(c, 'n1')).toBe('ready')
  c.step({ kind: 'node-disconnected', node: 'n1', incarnation, link: 2 })
  expect(stateOf(c, 'n1')).toBe('suspect')
})

test('nothing new is placed on a suspect node', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  c.silence('n1')
  c.advance(3500)
  const run = c.launch({ roles: { job: task({ replicas: 4 }) } })
  expect(new Set(c.status(run).workers.map(({ node }) => node))).toEqual(new Set(['n0']))
})

test('our own link was down: nobody is suspected until it has been up for a full timeout', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  c.silence('n1')
  c.step({ kind: 'link', up: false })
  c.advance(60_000)
  expect(stateOf(c, 'n1')).toBe('ready')
  c.step({ kind: 'link', up: true })
  c.advance(2500)
  expect(stateOf(c, 'n1')).toBe('ready')
  c.advance(1000)
  expect(stateOf(c, 'n1')).toBe('suspect')
})

test('half of all fall silent at once: the bus is suspected and nobody is given up; one that the server says is gone is', () => {
  const c = coordinatorWith({ n0: {}, n1: {}, n2: {}, n3: {} })
  c.silence('n1')
  c.silence('n2')
  c.advance(60_000)
  expect([stateOf(c, 'n1'), stateOf(c, 'n2')]).toEqual(['suspect', 'suspect'])
  c.step({ kind: 'node-disconnected', node: 'n1', incarnation: c.agents.get('n1')!.incarnation, link: 1 })
  c.advance(1000)
  expect(stateOf(c, 'n1')).toBe('lost')
})

test('a node dies between prepare and start: nothing of it was started, so the gang goes elsewhere at once', () => {
  const c = coordinatorWith({ n0: {}, n1: {}, n2: {} })
  c.agents.get('n1')!.hold.add('prepare')
  const run = c.launch({ roles: { trainer: torchrun('2x1') } })
  const nodes = c.status(run).workers.map(({ node }) => node)
  expect(nodes).toContain('n1')
  c.silence('n1')
  c.step({ kind: 'node-disconnected', node: 'n1', incarnation: c.agents.get('n1')!.incarnation, link: 1 })
  c.pump()
  c.advance(1000)
  expect(c.status(run)).toMatchObject({ state: 'running', attempt: 2 })
  expect(
    c
      .status(run)
      .workers.map(({ node }) => node)
      .toSorted(),
  ).toEqual(['n0', 'n2'])
})

test('a node dies after its start was sent: nobody knows whether it runs, so nothing is started elsewhere', () => {
  const c = coordinatorWith({ n0: {}, n1: {}, n2: {} })
  c.agents.get('n1')!.hold.add('start')
  const run = c.launch({ roles: { job: task({ nodelist: ['n1'], restart: 'on-failure' }) } })
  c.silence('n1')
  c.forget()
  c.advance(60_000)
  expect(c.status(run)).toMatchObject({ state: 'starting', attempt: 1 })
  expect(c.orders('prepare')).toEqual([])
})

test('an agent restarts between prepare and start: prepared again under the same ids', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  c.agents.get('n1')!.hold.add('prepare')
  const run = c.launch({ roles: { trainer: torchrun('2x1') } })
  c.agents.get('n1')!.hold.clear()
  c.restart('n1')
  c.advance(1000)
  expect(c.status(run)).toMatchObject({ state: 'running', attempt: 1 })
})

test('stop --force: a worker on a silent node ends without proof, and is called off when its node is heard again', () => {
  const c = coordinatorWith({ n0: {}, n1: {}, n2: {} })
  const run = c.launch({ roles: { job: task({ replicas: 3 }) } })
  c.silence('n1')
  c.advance(40_000)
  c.ask('stop', { run })
  expect(c.status(run)).toMatchObject({
    state: 'stopping',
    reason: expect.stringContaining(`troupe stop ${run} --force`),
  })
  c.ask('stop', { run, force: true })
  expect(c.status(run)).toMatchObject({ state: 'cancelled' })
  const forced = c.status(run).workers.find(({ node }) => node === 'n1')!
  expect(forced.receipt).toMatchObject({ outcome: 'unverified' })
  expect([...c.durable.fenced]).toEqual([[forced.forkId, 'n1']])
  c.failover()
  c.restart('n1')
  c.advance(1000)
  expect(c.agents.get('n1')!.forks.size).toBe(0)
  expect(c.durable.fenced.size).toBe(0)
})

test('a node that refuses the orders of a store made anew: status and explain say so, and what a person can do', () => {
  const c = coordinatorWith({ n0: {} })
  c.silence('n0')
  const run = c.launch({ roles: { job: task() } })
  const { incarnation } = c.agents.get('n0')!
  c.step({
    kind: 'beat',
    node: 'n0',
    incarnation,
    tick: 1,
    rev: 0,
    loopLagMs: 0,
    storeRefused: true,
    leaving: false,
    draining: false,
  })
  const hint = 'node n0 does not know this state store and refuses its orders: troupe nodes adopt n0'
  expect(c.status(run).reason).toContain(hint)
  const later = c.launch({ name: 'later', roles: { job: task() } })
  expect(c.status(later)).toMatchObject({ state: 'pending', reason: expect.stringContaining(hint) })
  expect(
    (c.ask('explain', { run }).body as { lines: { text: string }[] }).lines
      .map(({ text }) => text)
      .join('\n'),
  ).toContain(hint)
})

test('fenceAfter: the worker is started elsewhere only after T, its grace and a margin', () => {
  const c = coordinatorWith({ n0: {}, n1: {}, n2: {} }, { fenceMarginMs: 5000 })
  const run = c.launch({
    roles: {
      job: task({ exclude: ['n0'], fenceAfter: '40s', stop: { grace: '10s' }, restart: 'on-failure' }),
    },
  })
  const { node } = c.worker(run, 'job/0')
  c.silence(node!)
  c.advance(54_000)
  expect(c.status(run)).toMatchObject({ state: 'running', attempt: 1 })
  c.advance(5000)
  expect(c.worker(run, 'job/0')).toMatchObject({ state: 'running', attempt: 2 })
  expect(c.worker(run, 'job/0').node).not.toBe(node)
})
