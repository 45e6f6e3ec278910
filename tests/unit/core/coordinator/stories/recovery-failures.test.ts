import { expect, test } from 'vitest'
import { coordinatorWith } from '../../../../support/coordinator-steps.ts'
import { rankOf } from '../../../../support/coordinator/reports.ts'
import { task, torchrun } from '../../../../support/coordinator/roles.ts'

test('it dies after a rank has failed and its peers were told, before the torchrun ends: nothing is started again, and the failure is judged', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch({ roles: { trainer: torchrun('2x1') } })
  c.report(run, 'trainer/1', { ranks: [rankOf(1, { code: 7 }, c.wall())] })
  c.advance(1000)
  expect(c.worker(run, 'trainer/0')).toMatchObject({
    state: 'exited',
    exit: { killedBy: { by: 'rank', worker: `${run}/trainer/1`, rank: 1 } },
  })
  c.forget()
  c.failover()
  c.advance(5000)
  expect(c.orders('prepare')).toEqual([])
  c.exit(run, 'trainer/1', { code: 1 })
  expect(c.status(run)).toMatchObject({
    state: 'failed',
    code: 7,
    attempt: 1,
    firstFailure: { worker: `${run}/trainer/1`, rank: 1 },
  })
})

test.each([
  ['earlier on the same node: it is the first', -500, 'job/1', false],
  ['later on the same node: the first that was told stays', 500, 'job/0', false],
])(
  'it dies after a first failure was told; another that the next hears was %s [FC-25]',
  (_, by, first, uncertain) => {
    const c = coordinatorWith({ n0: {} })
    const run = c.launch({ roles: { job: task({ replicas: 2 }) } })
    for (const agent of c.agents.values()) agent.hold.add('kill')
    const at = c.wall()
    c.exit(run, 'job/0', { code: 1 }, { tree: true, exitedAt: at })
    c.failover()
    expect(c.status(run).firstFailure).toMatchObject({ worker: `${run}/job/0`, uncertain: false })
    c.exit(run, 'job/1', { code: 2 }, { tree: true, exitedAt: at + by })
    expect(c.status(run).firstFailure).toMatchObject({ worker: `${run}/${first}`, uncertain })
  },
)

test('two had failed for certain, one after the other, when it died: the next does not call that uncertain', () => {
  const c = coordinatorWith({ n0: { skewMs: 5000 }, n1: { skewMs: -5000 } })
  const run = c.launch({ roles: { job: task({ replicas: 3 }) } })
  for (const agent of c.agents.values()) agent.hold.add('kill')
  const [a, b] = c
    .status(run)
    .workers.filter(({ node }, i, all) => all.findIndex((w) => w.node === node) === i)
  const at = c.wall()
  const skew = (node: string | null): number => (node === 'n0' ? 5000 : -5000)
  c.exit(run, `job/${b!.index}`, { code: 2 }, { exitedAt: at + 500 + skew(b!.node) })
  c.exit(run, `job/${a!.index}`, { code: 1 }, { exitedAt: at - 500 + skew(a!.node) })
  expect(c.status(run).firstFailure).toMatchObject({ worker: a!.worker, uncertain: false })
  c.failover()
  expect(c.status(run).firstFailure).toMatchObject({ worker: a!.worker, uncertain: false })
})
