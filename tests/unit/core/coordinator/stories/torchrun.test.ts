import { expect, test } from 'vitest'
import { coordinatorWith } from '../../../../support/coordinator-steps.ts'
import { rankOf } from '../../../../support/coordinator/reports.ts'
import { torchrun } from '../../../../support/coordinator/roles.ts'

test('one torchrun agent exits 0 early: its peers have five minutes, then the run fails and names who hangs [FC-1]', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch({ roles: { trainer: torchrun('2x2') } })
  c.exit(run, 'trainer/1', { code: 0 })
  c.advance(299_000)
  expect(c.status(run).state).toBe('running')
  c.advance(2000)
  expect(c.status(run)).toMatchObject({ state: 'failed', code: 1 })
  expect(c.status(run).firstFailure!.worker).toBe(`${run}/trainer/0`)
})

test('the first failure is a rank: the run has the code of the rank, though torchrun says 1; both are shown [R-10 +R3 FC-24]', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch({ roles: { trainer: torchrun('2x2') } })
  const at = c.wall() + 100
  c.exit(
    run,
    'trainer/1',
    { code: 1 },
    {
      ranks: [rankOf(2, { signal: 'SIGTERM' }, at + 30), rankOf(3, { code: 7 }, at)],
      stderrTail: ['loss is NaN'],
    },
  )
  const status = c.status(run)
  expect(status).toMatchObject({
    state: 'failed',
    code: 7,
    firstFailure: {
      worker: `${run}/trainer/1`,
      rank: 3,
      node: 'n1',
      exit: { code: 7 },
      stderrTail: ['loss is NaN'],
    },
  })
  expect(c.worker(run, 'trainer/1').exit).toMatchObject({ code: 1 })
  expect(c.worker(run, 'trainer/0').exit).toMatchObject({
    killedBy: { by: 'peer', worker: `${run}/trainer/1`, rank: 3 },
  })
})

test('a rank fails: its peers are told to end at once; what it means is judged when its torchrun has ended, with the last words [A-34 R-17 FC-2]', () => {
  const c = coordinatorWith({ n0: {}, n1: {}, n2: {} })
  const run = c.launch({ roles: { trainer: torchrun('3x1') } })
  c.forget()
  for (const agent of c.agents.values()) agent.hold.add('kill')
  c.report(run, 'trainer/1', { ranks: [rankOf(1, { code: 7 }, c.wall())] })
  c.report(run, 'trainer/2', { ranks: [rankOf(2, { code: 1 }, c.wall() + 20)] })
  expect(c.orders('kill')).toEqual([])
  c.advance(250)
  expect(c.orders('kill').map(({ node }) => node)).toEqual(['n0'])
  expect(c.status(run)).toMatchObject({ state: 'running', firstFailure: null })
  c.letGo('n0')
  c.advance(2000)
  c.exit(
    run,
    'trainer/1',
    { code: 1 },
    { ranks: [rankOf(1, { code: 7 }, c.wall() - 2250)], stderrTail: ['loss is NaN'] },
  )
  expect(c.status(run)).toMatchObject({
    state: 'stopping',
    firstFailure: { worker: `${run}/trainer/1`, rank: 1, exit: { code: 7 }, stderrTail: ['loss is NaN'] },
  })
  expect(c.worker(run, 'trainer/0').exit).toMatchObject({
    killedBy: { by: 'rank', worker: `${run}/trainer/1`, rank: 1 },
  })
})

test('a rank fails in a role that is started again: one restart, of all its workers', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch({
    roles: {
      trainer: torchrun('2x1', { restart: { policy: 'on-failure', max: 1, backoff: ['100ms', '1s'] } }),
    },
  })
  c.report(run, 'trainer/1', { ranks: [rankOf(1, { signal: 'SIGKILL' }, c.wall())] })
  c.advance(1000)
  expect(c.worker(run, 'trainer/0')).toMatchObject({ attempt: 1, state: 'exited' })
  c.exit(run, 'trainer/1', { code: 1 })
  c.advance(1000)
  expect(c.status(run)).toMatchObject({
    state: 'running',
    attempt: 2,
    workers: [
      { state: 'running', attempt: 2 },
      { state: 'running', attempt: 2 },
    ],
  })
})
