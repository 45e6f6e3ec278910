import { expect, test } from 'vitest'
import { coordinatorWith } from '../../../../support/coordinator-steps.ts'
import { fault } from '../../../../support/coordinator/reports.ts'
import { task, torchrun } from '../../../../support/coordinator/roles.ts'

function document(
  roles: Record<string, unknown>,
  more: Record<string, unknown> = {},
): Record<string, unknown> {
  return { apiVersion: 'troupe/v1', name: 'job', roles, ...more }
}

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

test('the GPUs are leased by agents of somebody else: the run waits and says so, asks again with pauses, and goes elsewhere if it can [A-19 A-36]', () => {
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
