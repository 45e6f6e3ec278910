import { expect, test } from 'vitest'
import { coordinatorWith } from '../../../../support/coordinator-steps.ts'
import { task } from '../../../../support/coordinator/roles.ts'

test('two fail on nodes with skewed clocks: the one that was earlier in truth is the first, whatever was told first [FC-25]', () => {
  const c = coordinatorWith({ n0: { skewMs: 5000 }, n1: { skewMs: -5000 } })
  const run = c.launch({ roles: { job: task({ replicas: 2 }) } })
  for (const agent of c.agents.values()) agent.hold.add('kill')
  const [a, b] = c.status(run).workers
  const skew = (node: string | null): number => (node === 'n0' ? 5000 : -5000)
  const at = c.wall()
  c.exit(run, `job/${b!.index}`, { code: 2 }, { tree: true, exitedAt: at + 500 + skew(b!.node) })
  c.exit(run, `job/${a!.index}`, { code: 1 }, { tree: true, exitedAt: at - 500 + skew(a!.node) })
  expect(c.status(run).firstFailure).toMatchObject({ worker: a!.worker, uncertain: false })
})

test('two fail so close that clocks cannot decide: the first that was told stays, as uncertain [FC-25]', () => {
  const c = coordinatorWith({ n0: { skewMs: 5000 }, n1: { skewMs: -5000 } })
  const run = c.launch({ roles: { job: task({ replicas: 2 }) } })
  for (const agent of c.agents.values()) agent.hold.add('kill')
  const [a, b] = c.status(run).workers
  c.exit(run, `job/${b!.index}`, { code: 2 }, { tree: true })
  c.exit(run, `job/${a!.index}`, { code: 1 }, { tree: true })
  expect(c.status(run).firstFailure).toMatchObject({ worker: b!.worker, uncertain: true })
})
