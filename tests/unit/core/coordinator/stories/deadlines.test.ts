import { expect, test } from 'vitest'
import { coordinatorWith } from '../../../../support/coordinator-steps.ts'
import { service, task } from '../../../../support/coordinator/roles.ts'

test('the run deadline passes: timed-out with 124, and the workers end by it', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { job: task() }, deadlines: { run: '10s' } })
  c.advance(9000)
  expect(c.status(run).state).toBe('running')
  c.advance(2000)
  expect(c.status(run)).toMatchObject({ state: 'timed-out', code: 124 })
  expect(c.worker(run, 'job/0').exit).toMatchObject({ killedBy: { by: 'deadline', clock: 'run' } })
})

test('queued for longer than the start deadline: not a failure; the start clock runs from the placement [A-43 +A9 FC-12 A-05]', () => {
  const c = coordinatorWith({ n0: { gpus: 1 } })
  const first = c.launch({ roles: { job: task({ resources: { gpus: 1 } }) } })
  const second = c.launch({ roles: { job: task({ resources: { gpus: 1 } }) }, deadlines: { start: '5s' } })
  c.advance(60_000)
  expect(c.status(second)).toMatchObject({ state: 'pending' })
  expect(c.status(second).reason).toContain('1 GPU')
  c.exit(first, 'job/0', { code: 0 })
  expect(c.status(second)).toMatchObject({ state: 'running' })
  expect(c.status(second).clocks.queuedMs).toBeGreaterThanOrEqual(59_000)
  expect(c.status(second).clocks.startMs).toBeLessThan(5000)
})

test('the queue deadline passes while nothing fits: timed-out with 124', () => {
  const c = coordinatorWith({})
  const run = c.launch({ roles: { job: task() }, deadlines: { queue: '3s' } })
  expect(c.status(run)).toMatchObject({ state: 'pending', reason: 'waiting for nodes: none has joined' })
  c.advance(4000)
  expect(c.status(run)).toMatchObject({ state: 'timed-out', code: 124 })
})

test('the start deadline passes while a dependency is not ready: timed-out with 124, whatever was started is ended', () => {
  const c = coordinatorWith()
  const run = c.launch({
    roles: {
      api: service({ ready: { exec: ['true'], timeout: '5m' } }),
      job: task({ dependsOn: { api: 'ready' } }),
    },
    deadlines: { start: '3s' },
  })
  c.advance(4000)
  const status = c.status(run)
  expect(status).toMatchObject({ state: 'timed-out', code: 124 })
  expect(status.reason).toContain('waits for api to be ready')
  expect(c.worker(run, 'api/0').receipt?.outcome).toBe('gone')
})

test('a probe runs out of patience: its agent ends the worker as not ready, and the run is timed-out', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { api: service({ ready: { exec: ['true'], timeout: '10s' } }) } })
  c.exit(run, 'api/0', { signal: 'SIGTERM', killedBy: { by: 'not-ready' } })
  expect(c.status(run)).toMatchObject({
    state: 'timed-out',
    code: 124,
    firstFailure: { worker: `${run}/api/0` },
  })
})
