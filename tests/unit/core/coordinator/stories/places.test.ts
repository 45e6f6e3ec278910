import { expect, test } from 'vitest'
import { coordinatorWith } from '../../../../support/coordinator-steps.ts'
import { task, torchrun } from '../../../../support/coordinator/roles.ts'

function document(
  roles: Record<string, unknown>,
  more: Record<string, unknown> = {},
): Record<string, unknown> {
  return { apiVersion: 'troupe/v1', name: 'job', roles, ...more }
}

test.each([
  ['GPUs', { gpus: 8 }, /role job asks for 8 GPUs per worker; the largest known node \(n1\) has 4 GPUs/],
  ['cores', { cpus: 64 }, /asks for 64 cores per worker; the largest known node \(n0\) has 16 cores/],
  [
    'memory',
    { memory: '1TB' },
    /asks for \d+(\.\d+)? GiB of memory per worker; the largest known node \(n\d\) has 16 GiB of memory/,
  ],
])('more %s than any node has: refused, with both numbers [A-36 +A7]', (_what, resources, text) => {
  const c = coordinatorWith({ n0: { cpus: 16 }, n1: { cpus: 8, gpus: 4 } })
  expect(c.ask('launch', document({ job: task({ resources }) })).fault).toMatchObject({
    code: 'PLAN_INVALID',
    message: expect.stringMatching(text),
  })
  expect(c.ask('list', {}).body).toEqual({ runs: [], partial: null, next: null })
})

test('a node list with a node that has not joined: pending, and it says which', () => {
  const c = coordinatorWith({ n0: {} })
  const run = c.launch({ roles: { job: task({ nodelist: ['n7'] }) } })
  expect(c.status(run)).toMatchObject({
    state: 'pending',
    reason: 'waiting for nodes: role job wants n7, and n7 has not joined',
  })
  c.addNode('n7')
  expect(c.worker(run, 'job/0')).toMatchObject({ node: 'n7', state: 'running' })
})

test('every known node is excluded, or the node list is too short for the shape: refused, with both numbers [A-36]', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  expect(c.ask('launch', document({ job: task({ exclude: ['n0', 'n1', 'n9'] }) })).fault).toMatchObject({
    code: 'PLAN_INVALID',
    message: 'role job needs 1 node; of 2 known it excludes 2, and 0 are left',
  })
  expect(c.ask('launch', document({ job: torchrun('2x1', { nodelist: ['n7'] }) })).fault).toMatchObject({
    code: 'PLAN_INVALID',
    message: 'role job needs 2 nodes; its nodelist allows 1: n7',
  })
  expect(c.ask('list', {}).body).toEqual({ runs: [], partial: null, next: null })
})

test('nodes that are excluded get nothing', () => {
  const c = coordinatorWith({ n0: {}, n1: {}, n2: {} })
  const run = c.launch({ roles: { job: task({ replicas: 6, exclude: ['n1'] }) } })
  expect(new Set(c.status(run).workers.map(({ node }) => node))).toEqual(new Set(['n0', 'n2']))
})

test('workers are spread: the least loaded node first', () => {
  const c = coordinatorWith({ n0: {}, n1: {}, n2: {} })
  const run = c.launch({ roles: { job: task({ replicas: 6 }) } })
  const nodes = c.status(run).workers.map(({ node }) => node)
  for (const node of ['n0', 'n1', 'n2']) expect(nodes.filter((one) => one === node).length).toBe(2)
})

test('not all of a gang fit: none is placed; GPUs are free when the tree is gone, not at the order to stop [+A7]', () => {
  const c = coordinatorWith({ n0: { gpus: 4 }, n1: { gpus: 4 } })
  const first = c.launch({ roles: { job: task({ resources: { gpus: 4 } }) } })
  const second = c.launch({ roles: { trainer: torchrun('2x4', { resources: { gpus: 4 } }) } })
  expect(c.status(second).workers.every(({ node }) => node === null)).toBe(true)
  expect(c.status(second).reason).toContain('waiting for 4 GPUs')
  c.agents.get(c.worker(first, 'job/0').node!)!.hold.add('kill')
  c.ask('stop', { run: first })
  c.advance(1000)
  expect(c.status(second).state).toBe('pending')
  c.letGo(c.worker(first, 'job/0').node!)
  expect(c.status(second).state).toBe('running')
})

test('an exited root whose tree still runs holds its GPUs', () => {
  const c = coordinatorWith({ n0: { gpus: 1 } })
  const first = c.launch({ roles: { job: task({ resources: { gpus: 1 } }) } })
  const second = c.launch({ roles: { job: task({ resources: { gpus: 1 } }) } })
  const { node, forkId } = c.worker(first, 'job/0')
  c.agents.get('n0')!.hold.add('kill')
  c.exit(first, 'job/0', { code: 0 }, { tree: true })
  expect(c.status(second).state).toBe('pending')
  c.emptied(node!, forkId)
  expect(c.status(second).state).toBe('running')
})

test('an earlier run that waits for resources is not overtaken by a smaller one; one that waits for nodes does not hold anybody back', () => {
  const c = coordinatorWith({ n0: { cpus: 8 } })
  const busy = c.launch({ roles: { job: task({ resources: { cpus: 4 } }) } })
  const nodes = c.launch({ roles: { job: torchrun('2x1', { resources: { cpus: 1 } }) } })
  const big = c.launch({ roles: { job: task({ resources: { cpus: 8 } }) } })
  const small = c.launch({ roles: { job: task({ resources: { cpus: 1 } }) } })
  const nothing = c.launch({ roles: { job: task() } })
  expect([nodes, big, small, nothing].map((run) => c.status(run).state)).toEqual([
    'pending',
    'pending',
    'pending',
    'running',
  ])
  expect(c.status(small).reason).toContain('turn')
  c.exit(busy, 'job/0', { code: 0 })
  expect([nodes, big, small].map((run) => c.status(run).state)).toEqual(['pending', 'running', 'pending'])
})

test('resources of each replica of its own are counted each [A-03]', () => {
  const c = coordinatorWith({ n0: { cpus: 4 }, n1: { cpus: 2 } })
  const run = c.launch({ roles: { job: task({ replicas: 2, resources: [{ cpus: 2 }, { cpus: 4 }] }) } })
  expect(c.worker(run, 'job/1').node).toBe('n0')
  expect(c.worker(run, 'job/0').node).toBe('n1')
})

test('an elastic role starts with the nodes that are there, if they are enough', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch({ roles: { trainer: torchrun('1:3x2') } })
  expect(c.status(run).state).toBe('running')
  expect(c.status(run).workers.map(({ node }) => node === null)).toEqual([false, false, true])
  expect(c.orders('prepare')[0]!.body.forks[0]!.torchrun).toMatchObject({ nnodes: '1:2' })
  c.exit(run, 'trainer/0', { code: 0 })
  c.exit(run, 'trainer/1', { code: 0 })
  expect(c.status(run).state).toBe('succeeded')
})

test('an agent says that its node is draining (its allocation is about to end): it gets nothing new', () => {
  const c = coordinatorWith({ n0: {} })
  const { incarnation, rev } = c.agents.get('n0')!
  const beat = { kind: 'beat', node: 'n0', incarnation, tick: 0, rev, loopLagMs: 0 } as const
  c.step({ ...beat, storeRefused: false, leaving: false, draining: true })
  expect(c.ask('nodes', {}).body.nodes[0]).toMatchObject({ node: 'n0', state: 'draining' })
  const run = c.launch({ roles: { job: task() } })
  expect(c.status(run).state).toBe('pending')
  c.beat('n0')
  expect(c.status(run).state).toBe('running')
})

test('a drained node gets nothing new, and gets it again', () => {
  const c = coordinatorWith({ n0: {} })
  c.ask('drain', { node: 'n0', on: true })
  const run = c.launch({ roles: { job: task() } })
  expect(c.status(run).state).toBe('pending')
  expect(c.ask('nodes', {}).body.nodes[0]).toMatchObject({ node: 'n0', state: 'draining' })
  c.failover()
  expect(c.status(run).state).toBe('pending')
  c.ask('drain', { node: 'n0', on: false })
  expect(c.status(run).state).toBe('running')
  expect(c.ask('drain', { node: 'n9', on: true }).fault).toMatchObject({ code: 'NODE_NOT_FOUND' })
})
