/**
 * An agent that lies: the server vouches for its node, and for nothing in what it says. What it says of
 * workers of other nodes, or in the name of another incarnation, changes nothing.
 */
import { expect, test } from 'vitest'
import type { ForkReport } from '../../../../../src/protocol/shapes.ts'
import { coordinatorWith, type Story } from '../../../../support/coordinator-steps.ts'
import { exitOf } from '../../../../support/coordinator/reports.ts'
import { task } from '../../../../support/coordinator/roles.ts'

/** A run with a worker on n1, whose end n0 reports. */
function withForger(): { c: Story; run: string; gone: ForkReport } {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch({ roles: { job: task({ nodelist: ['n1'] }) } })
  const [fork] = c.agents.get('n1')!.forks.values()
  const exit = exitOf({ code: 0 })
  const receipt = { outcome: 'gone', survivors: [], reason: null, ms: 1 } as const
  const gone: ForkReport = {
    ...fork!.report,
    phase: 'gone',
    exit,
    exitedAt: c.wall(),
    receipt: { ...receipt, survivors: [] },
  }
  return { c, run, gone }
}

function report(
  c: Story,
  node: string,
  told: ForkReport,
  incarnation = c.agents.get(node)!.incarnation,
): void {
  c.step({ kind: 'report', node, incarnation, rev: c.agents.get(node)!.rev + 1, report: told })
  c.pump()
}

test('the end of another node’s worker, in its own node’s name: the run goes on', () => {
  const { c, run, gone } = withForger()
  report(c, 'n0', gone)
  expect(c.status(run).state).toBe('running')
  expect(c.worker(run, 'job/0')).toMatchObject({ node: 'n1', exit: null, receipt: null })
  report(c, 'n1', gone)
  expect(c.status(run).state).toBe('succeeded')
})

test('the end of another node’s worker that was ended by force: its exit stays what the coordinator knows', () => {
  const { c, run, gone } = withForger()
  c.silence('n1')
  c.failoverUnheard()
  c.advance(60_000)
  c.ask('stop', { run, force: true })
  const before = c.worker(run, 'job/0')
  report(c, 'n0', { ...gone, exit: exitOf({ code: 7 }), stderrTail: ['forged'] })
  expect(c.worker(run, 'job/0')).toEqual(before)
  expect(before.receipt).toMatchObject({ outcome: 'unverified' })
})

test('another incarnation of the own node, one that is newer or none, says nothing before it beats', () => {
  const { c, run, gone } = withForger()
  for (const incarnation of [
    '01ZZZZZZZZZZZZZZZZZZZZZZZZ',
    '00000000000000000000000000',
    c.agents.get('n0')!.incarnation,
  ])
    report(c, 'n1', gone, incarnation)
  expect(c.status(run).state).toBe('running')
})

test('a fork under the id of another: nobody knows it, nothing is released or ended for it', () => {
  const { c, run, gone } = withForger()
  c.forget()
  for (const forkId of [`${run}.job.0.2`, `${run}.other.0.1`, 'x.y.0.1', ''])
    report(c, 'n1', { ...gone, forkId })
  report(c, 'n0', { ...gone, run: 'other' })
  c.advance(1000)
  expect(c.status(run).state).toBe('running')
  expect([...c.orders('release'), ...c.orders('cancel')]).toEqual([])
})

test('a count of facts that nobody can have: the inventory tells what is true, and later facts are heard', () => {
  const { c, run, gone } = withForger()
  const agent = c.agents.get('n1')!
  const forged = { ...gone, run: 'x', role: 'y', forkId: 'x.y.0.1' }
  for (const rev of [Number.MAX_SAFE_INTEGER, -1, 0])
    c.step({ kind: 'report', node: 'n1', incarnation: agent.incarnation, rev, report: forged })
  c.pump()
  c.advance(1000)
  c.exit(run, 'job/0', { code: 0 })
  expect(c.status(run).state).toBe('succeeded')
})
