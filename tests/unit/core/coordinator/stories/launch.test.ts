/**
 * Launches: once for each key, by both doors; refused with both numbers; pending with a reason; first come,
 * first served.
 */
import { expect, test } from 'vitest'
import { coordinatorWith, fault, service, task, torchrun } from '../../../../support/coordinator-steps.ts'
import type { FaultBody } from '../../../../../src/protocol/faults.ts'
import type { CoordinatorCommand } from '../../../../../src/core/coordinator/messages.ts'

function document(
  roles: Record<string, unknown>,
  more: Record<string, unknown> = {},
): Record<string, unknown> {
  return { apiVersion: 'troupe/v1', name: 'job', roles, ...more }
}

function queued(
  c: ReturnType<typeof coordinatorWith>,
  seq: number,
  body: Record<string, unknown>,
  key: string | null = null,
): { run: string | null; fault: FaultBody | null } {
  const out = c.step({ kind: 'queued-launch', seq, user: 'me', key, storedAt: c.wall(), body, fault: null })
  c.pump()
  return out.find(
    (command): command is Extract<CoordinatorCommand, { kind: 'answer-queued' }> =>
      command.kind === 'answer-queued',
  )!
}

test('the same key and spec: the same run, and it is told that it exists [FC-8 +A19]', () => {
  const c = coordinatorWith()
  const body = document({ job: task() })
  const first = c.ask('launch', body, { key: 'k1' }).body
  expect(first).toMatchObject({ existing: false })
  expect(c.ask('launch', body, { key: 'k1' }).body).toEqual({ run: first.run, existing: true })
  expect(c.orders('prepare').length).toBe(1)
})

test('the same key with another spec: a conflict, by both doors', () => {
  const c = coordinatorWith()
  const { run } = c.ask('launch', document({ job: task() }), { key: 'k1' }).body
  expect(c.ask('launch', document({ job: task({ replicas: 2 }) }), { key: 'k1' }).fault).toMatchObject({
    code: 'KEY_CONFLICT',
    data: { key: 'k1', run },
  })
  expect(queued(c, 1, document({ other: task() }), 'k1').fault).toMatchObject({ code: 'KEY_CONFLICT' })
  expect(c.events('rejected').at(-1)!.body).toMatchObject({ key: 'k1', fault: { code: 'KEY_CONFLICT' } })
  expect(queued(c, 2, document({ job: task() }), 'k1')).toMatchObject({ run, fault: null })
})

test('the same key of two users, and two launches without a key in one moment: different runs [FC-8]', () => {
  const c = coordinatorWith()
  const body = document({ job: task() })
  const runs = [
    c.ask('launch', body, { key: 'k', user: 'ann' }),
    c.ask('launch', body, { key: 'k', user: 'bob' }),
    c.ask('launch', body),
    c.ask('launch', body),
  ].map((answer) => answer.body.run)
  expect(new Set(runs).size).toBe(4)
})

test('a queued launch comes again after a failover: the same run, nothing twice, and its outcome is told again under the same id [FC-4]', () => {
  const c = coordinatorWith()
  const body = document({ job: task() })
  const { run } = queued(c, 7, body)
  const [told] = c.events('accepted')
  c.failover()
  c.forget()
  expect(queued(c, 7, body)).toMatchObject({ run, fault: null })
  expect(c.events('accepted').map((event) => event.body.id)).toEqual([told!.body.id])
  expect(c.orders('prepare')).toEqual([])
  expect(c.ask('answer', { key: '7' }).body).toEqual({ run, fault: null })
})

test('a launch by request without a key is given one, told in its event: what became of it is remembered like any other, in an entry before its answer', () => {
  const c = coordinatorWith()
  const { run } = c.ask('launch', document({ job: task() })).body
  const { key } = c.events('accepted').at(-1)!.body as { key: string }
  const { fault } = c.ask('launch', document({ job: task({ resources: { cpus: 99 } }) }))
  expect(fault).toMatchObject({ code: 'PLAN_INVALID' })
  const refused = c.events('rejected').at(-1)!.body as { key: string }
  c.failover()
  expect(c.ask('answer', { key }).body).toEqual({ run, fault: null })
  expect(c.ask('answer', { key: refused.key }).body).toEqual({ run: null, fault })
  const order = c.commands.flatMap((command) =>
    command.kind === 'persist' && command.ops.some(({ op }) => op === 'key')
      ? ['record']
      : command.kind === 'reply' || command.kind === 'refuse'
        ? ['answer']
        : [],
  )
  expect(order.slice(0, 4)).toEqual(['record', 'answer', 'record', 'answer'])
})

test('an answered key survives a failover, and is forgotten after 48 hours', () => {
  const c = coordinatorWith()
  const body = document({ job: task() })
  const { run } = c.ask('launch', body, { key: 'k' }).body
  c.exit(run, 'job/0', { code: 0 })
  c.failover()
  expect(c.ask('launch', body, { key: 'k' }).body).toEqual({ run, existing: true })
  expect([...c.durable.keys.keys()]).toEqual(['me/k'])
})

test('the accepted record is in an entry before the answer leaves, and the key after the run that it names', () => {
  const c = coordinatorWith()
  c.forget()
  c.ask('launch', document({ job: task() }), { key: 'k' })
  const kinds = c.commands.map(({ kind }) => kind)
  expect(kinds.indexOf('persist')).toBeLessThan(kinds.indexOf('reply'))
  const { ops } = c.commands.find(
    (command): command is Extract<CoordinatorCommand, { kind: 'persist' }> => command.kind === 'persist',
  )!
  expect(ops.map(({ op }) => op)).toEqual(['spec', 'role', 'run', 'key'])
})

test('a queued launch is given back to nobody before its record is written', () => {
  const c = coordinatorWith()
  c.forget()
  queued(c, 1, document({ job: task() }))
  const kinds = c.commands.map(({ kind }) => kind)
  expect(kinds.indexOf('persist')).toBeLessThan(kinds.indexOf('answer-queued'))
})

test('a refused document leaves no run; with a key its refusal is remembered', () => {
  const c = coordinatorWith()
  const bad = document({ job: { ...task(), repicas: 2 } })
  const { fault } = c.ask('launch', bad, { key: 'k' })
  expect(fault).toMatchObject({ code: 'SPEC_INVALID' })
  expect(c.ask('launch', bad, { key: 'k' }).fault).toEqual(fault)
  expect(c.ask('list', { all: true }).body).toEqual({ runs: [], partial: null, next: null })
  expect(c.events('rejected').length).toBe(1)
})

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
  expect(c.orders('prepare')[0]!.body.forks[0]!.torchrun).toMatchObject({ nnodes: '1:3' })
  c.exit(run, 'trainer/0', { code: 0 })
  c.exit(run, 'trainer/1', { code: 0 })
  expect(c.status(run).state).toBe('succeeded')
})

test('a plan says where everything would go and launches nothing [A-36]', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const { body } = c.ask('plan', { document: document({ api: service(), job: task() }) })
  expect(body.placements.map(({ worker }: { worker: string }) => worker)).toEqual(['api/0', 'job/0'])
  expect(body.placements.every(({ node }: { node: string | null }) => node !== null)).toBe(true)
  expect(body.launch.roles.length).toBe(2)
  expect(c.ask('list', { all: true }).body).toEqual({ runs: [], partial: null, next: null })
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

test('a queued document that nobody can read is answered and ended after one try', () => {
  const c = coordinatorWith()
  const out = c.step({
    kind: 'queued-launch',
    seq: 3,
    user: 'me',
    key: null,
    storedAt: c.wall(),
    body: null,
    fault: { code: 'REQUEST_INVALID', message: 'neither', data: {}, retryable: false },
  })
  expect(out.map(({ kind }) => kind)).toContain('answer-queued')
  expect(c.ask('answer', { key: '3' }).body).toMatchObject({ run: null, fault: { code: 'REQUEST_INVALID' } })
})

test('a launch that waited in the queue is judged by when it was stored', () => {
  const c = coordinatorWith({})
  const storedAt = c.wall() - 100_000
  const out = c.step({
    kind: 'queued-launch',
    seq: 1,
    user: 'me',
    key: null,
    storedAt,
    body: document({ job: task() }, { deadlines: { queue: '60s' } }),
    fault: null,
  })
  const { run } = out.find(
    (command): command is Extract<CoordinatorCommand, { kind: 'answer-queued' }> =>
      command.kind === 'answer-queued',
  )!
  expect(c.status(run!)).toMatchObject({ state: 'timed-out', code: 124 })
})

test('two agents of one machine have the same GPUs: they are counted once, whichever of them gives them out, and nodes says so [A-19 A-36]', () => {
  const c = coordinatorWith({ n0: { gpus: 8, machine: 'a' }, n1: { gpus: 8, machine: 'a' } })
  const gpus = (count: number, replicas = 1) =>
    document({ job: task({ replicas, resources: { gpus: count } }) })
  const first = c.ask('launch', gpus(3, 2)).body.run
  expect(c.status(first).state).toBe('running')
  const second = c.ask('launch', gpus(6)).body.run
  expect(c.status(second)).toMatchObject({
    state: 'pending',
    reason: expect.stringMatching(/waiting for 6 GPUs .* has 2 GPUs free/),
  })
  expect(
    c
      .orders('prepare')
      .flatMap(({ body }) => body.forks)
      .filter(({ run }) => run === second),
  ).toEqual([])
  expect(c.ask('nodes', {}).body.nodes).toMatchObject([
    { gpus: 8, gpusSharedWith: ['n1'] },
    { gpus: 8, gpusSharedWith: ['n0'] },
  ])
  c.exit(first, 'job/0', { code: 0 })
  expect(c.status(second).state).toBe('pending')
  c.exit(first, 'job/1', { code: 0 })
  expect(c.status(second).state).toBe('running')
  // a gang that would need both agents to give out the same ones waits, and does not hold what others could
  // use
  const never = c.ask('launch', document({ job: torchrun('2x1', { resources: { gpus: 5 } }) })).body.run
  expect(c.status(never)).toMatchObject({
    state: 'pending',
    reason: expect.stringContaining('not enough even when all nodes are empty'),
  })
})

test('agents that have some GPUs in common, and one of another machine: only what is common counts twice [A-19]', () => {
  const c = coordinatorWith({
    n0: { gpus: 2, machine: 'a' },
    n1: { gpus: 4, machine: 'a' },
    n2: { gpus: 4, machine: 'b' },
  })
  const on = (node: string, gpus: number) =>
    c.ask('launch', document({ job: task({ nodelist: [node], resources: { gpus } }) })).body.run
  const first = on('n0', 2)
  expect(['n2', 'n1', 'n1'].map((node, i) => c.status(on(node, [4, 2, 1][i]!)).state)).toEqual([
    'running',
    'running',
    'pending',
  ])
  expect(c.status(first).state).toBe('running')
})

test('the GPUs are leased by agents of somebody else: the run waits and says so, is asked for again with pauses, and goes elsewhere where it can [A-19 A-36]', () => {
  const c = coordinatorWith({ n0: { gpus: 2 } })
  const refusal = {
    ...fault(
      'GPU_ALLOC',
      '1 GPU asked for, 0 of 2 free on this node (2 leased by other agents of this machine)',
    ),
    data: { elsewhere: 2 },
  }
  c.agents.get('n0')!.refuse.set('prepare', Array(6).fill(refusal))
  const run = c.ask('launch', document({ job: task({ resources: { gpus: 1 } }) })).body.run
  expect(c.status(run)).toMatchObject({
    state: 'pending',
    reason: expect.stringMatching(/waiting for a retry of role job in .*\(2 leased by other agents/),
  })
  c.advance(20_000)
  expect(c.status(run).state).toBe('pending')
  c.advance(42_000)
  expect(c.status(run).state).toBe('running')
  expect(c.orders('prepare').length).toBe(7)
  c.agents.get('n0')!.refuse.set('prepare', [refusal])
  c.addNode('n1', { gpus: 2 })
  c.agents.get('n1')!.refuse.set('prepare', [refusal])
  const other = c.ask('launch', document({ job: task({ resources: { gpus: 1 } }) })).body.run
  c.advance(5_000)
  expect(c.status(other).state).toBe('running')
})

test('a GPU that others share is asked for alone: its node refuses, and the run waits until they have ended, however long [A-19]', () => {
  const c = coordinatorWith({ n0: { gpus: 1 } })
  const shared = c.ask('launch', document({ job: task({ resources: { gpus: 1, share: true } }) })).body.run
  expect(c.status(shared).state).toBe('running')
  c.agents
    .get('n0')!
    .refuse.set('prepare', Array(5).fill(fault('GPU_ALLOC', '1 GPU asked for, 0 of 1 free on this node')))
  const alone = c.ask('launch', document({ job: task({ resources: { gpus: 1 } }) })).body.run
  c.advance(30_000)
  expect(c.status(alone)).toMatchObject({
    state: 'pending',
    reason: expect.stringContaining('0 of 1 free on this node'),
  })
  c.exit(shared, 'job/0', { code: 0 })
  c.advance(30_000)
  expect(c.status(alone).state).toBe('running')
})
