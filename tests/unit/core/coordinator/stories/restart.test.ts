/** Restarts: policies, scopes, bounds, and never beside what is not proven gone. */
import { expect, test } from 'vitest'
import { coordinatorWith } from '../../../../support/coordinator-steps.ts'
import { service, task, torchrun } from '../../../../support/coordinator/roles.ts'

function onFailure(more: Record<string, unknown> = {}): Record<string, unknown> {
  return { policy: 'on-failure', max: 2, window: '1h', backoff: ['1s', '10s'], ...more }
}

test('on-failure: tried again after its pause, with a new attempt, until the most that is allowed [A-36]', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { job: task({ restart: onFailure() }) } })
  c.exit(run, 'job/0', { code: 1 })
  expect(c.status(run)).toMatchObject({ state: 'pending' })
  expect(c.status(run).reason).toContain('retry')
  c.advance(1500)
  expect(c.worker(run, 'job/0')).toMatchObject({ attempt: 2, state: 'running', exit: null })
  c.exit(run, 'job/0', { code: 1 })
  c.advance(3000)
  expect(c.worker(run, 'job/0')).toMatchObject({ attempt: 3, state: 'running' })
  c.exit(run, 'job/0', { code: 4 })
  expect(c.status(run)).toMatchObject({ state: 'failed', code: 4, attempt: 3 })
  expect(c.status(run).reason).toContain('restarted 2 times')
})

test('what ended well is never started again, whatever the policy [+A25]', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { job: task({ replicas: 2, restart: 'always' }) } })
  c.exit(run, 'job/0', { code: 0 })
  c.advance(60_000)
  expect(c.worker(run, 'job/0')).toMatchObject({ attempt: 1, exit: { code: 0 } })
  c.exit(run, 'job/1', { code: 0 })
  expect(c.status(run).state).toBe('succeeded')
})

test('scope role: one of a torchrun gang fails, all are ended and started again together', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch({ roles: { trainer: torchrun('2x1', { restart: onFailure({ scope: 'role' }) }) } })
  c.exit(run, 'trainer/1', { code: 1 })
  c.advance(2000)
  const status = c.status(run)
  expect(status.state).toBe('running')
  expect(status.workers.map(({ attempt }) => attempt)).toEqual([2, 2])
  expect(status.firstFailure).toBe(null)
})

test('the new attempt waits until every tree of the old one is proven gone', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch({ roles: { trainer: torchrun('2x1', { restart: onFailure() }) } })
  const { node } = c.worker(run, 'trainer/0')
  c.agents.get(node!)!.hold.add('kill')
  c.exit(run, 'trainer/1', { code: 1 })
  c.forget()
  c.advance(20_000)
  expect(c.orders('prepare')).toEqual([])
  c.letGo(node!)
  c.advance(2000)
  expect(c.status(run).attempt).toBe(2)
})

test('survivors are left of the old tree: nothing is started beside them, the run fails and says so', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { job: task({ restart: onFailure() }) } })
  const { forkId } = c.worker(run, 'job/0')
  c.exit(run, 'job/0', { code: 1 }, { tree: true })
  c.report(run, 'job/0', {
    phase: 'gone',
    receipt: { outcome: 'survivors', survivors: [{ pid: 9, command: 'zombie maker' }], reason: null, ms: 9 },
  })
  c.advance(10_000)
  expect(c.status(run)).toMatchObject({ state: 'failed', attempt: 1 })
  const { reason } = c.status(run)
  expect(reason).toContain('job/0 is not proven gone (still there: 9 zombie maker), so nothing is started')
  expect(reason).toContain('end what is left of it on n0, if anything, and launch the run again')
  expect(forkId.endsWith('.1')).toBe(true)
})

test.each([
  ['worker', {}],
  ['run', { scope: 'run' }],
])('its shim was killed, scope %s: why nobody knows, and how to go on, are said', (_, scope) => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { job: task({ restart: onFailure(scope) }) } })
  c.agents.get('n0')!.hold.add('kill')
  c.exit(run, 'job/0', { code: null, unknown: 'the shim was killed' }, { tree: true })
  const reason = 'the shim was killed: a process that left cannot be found'
  c.report(run, 'job/0', { phase: 'gone', receipt: { outcome: 'unverified', survivors: [], reason, ms: 9 } })
  c.advance(10_000)
  expect(c.status(run)).toMatchObject({ state: 'failed', attempt: 1 })
  expect(c.status(run).reason).toContain(
    `is not proven gone (${reason}), so nothing is started beside it; end what is left of it on n0`,
  )
})

test('scope worker: only the one that failed is replaced, its peers run on', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { api: service({ replicas: 3, restart: onFailure({ scope: 'worker' }) }) } })
  const { pid } = c.worker(run, 'api/0')
  c.exit(run, 'api/1', { code: 1 })
  expect(c.status(run).state).toBe('running')
  c.advance(2000)
  expect(c.worker(run, 'api/1')).toMatchObject({ attempt: 2, state: 'running' })
  expect(c.worker(run, 'api/0')).toMatchObject({ attempt: 1, pid })
})

test('scope run: everything is ended and the whole run starts again in its order', () => {
  const c = coordinatorWith()
  const run = c.launch({
    roles: {
      api: service(),
      job: task({ dependsOn: { api: 'started' }, restart: onFailure({ scope: 'run' }) }),
    },
  })
  c.exit(run, 'job/0', { code: 1 })
  c.advance(3000)
  expect(c.status(run)).toMatchObject({ state: 'running', attempt: 2, firstFailure: null })
  expect(c.status(run).workers.map(({ attempt }) => attempt)).toEqual([2, 2])
  c.exit(run, 'job/0', { code: 0 })
  expect(c.status(run).state).toBe('succeeded')
})

test('its last words match a pattern of `not`: not tried again, and the pattern is told', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { job: task({ restart: onFailure({ not: ['CUDA out of memory'] }) }) } })
  c.exit(run, 'job/0', { code: 1 }, { stderrTail: ['RuntimeError: CUDA out of memory. Tried to allocate'] })
  expect(c.status(run)).toMatchObject({ state: 'failed', code: 1 })
  expect(c.status(run).reason).toContain("'CUDA out of memory' is in its last lines")
})

test('a service exits 0 while it is needed: on-failure starts it again', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { api: service({ restart: onFailure() }), job: task() } })
  c.exit(run, 'api/0', { code: 0 })
  c.advance(2000)
  expect(c.worker(run, 'api/0')).toMatchObject({ attempt: 2, state: 'running' })
})

test('the run is stopped while a role waits for its retry: it ends, and is not started again', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { job: task({ restart: onFailure() }) } })
  c.exit(run, 'job/0', { code: 1 })
  c.ask('stop', { run })
  c.advance(5000)
  expect(c.status(run)).toMatchObject({ state: 'cancelled', attempt: 1 })
})

test('tries outside the window do not count', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { job: task({ restart: onFailure({ max: 1, window: '10s' }) }) } })
  for (let attempt = 2; attempt < 5; attempt++) {
    c.exit(run, 'job/0', { code: 1 })
    c.advance(15_000)
    expect(c.worker(run, 'job/0')).toMatchObject({ attempt, state: 'running' })
  }
})

test('a stranger took its port in the last moment: the child is replaced, three times, without a restart policy [A-21 FC-9 +A2 +A3]', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { api: service({ resources: { ports: 1 }, ready: { tcp: { port: 0 } } }) } })
  for (let attempt = 2; attempt < 5; attempt++) {
    c.exit(run, 'api/0', { code: 1 }, { stderrTail: ['OSError: [Errno 98] Address already in use'] })
    c.advance(1000)
    expect(c.worker(run, 'api/0').attempt).toBe(attempt)
  }
  c.exit(run, 'api/0', { code: 1 }, { stderrTail: ['OSError: [Errno 98] Address already in use'] })
  c.advance(1000)
  expect(c.status(run)).toMatchObject({ state: 'failed', code: 1, attempt: 4 })
})

test('a port that its peers were told is taken: the whole gang starts again with new ports', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch({ roles: { trainer: torchrun('2x1') } })
  c.exit(
    run,
    'trainer/0',
    { code: 1 },
    { stderrTail: ['The server socket has failed to bind to 0.0.0.0:29500: EADDRINUSE'] },
  )
  c.advance(1000)
  expect(c.status(run).workers.map(({ attempt, state }) => [attempt, state])).toEqual([
    [2, 'running'],
    [2, 'running'],
  ])
})

test('it says address in use after it was ready: an ordinary failure', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { api: service({ resources: { ports: 1 }, ready: { tcp: { port: 0 } } }) } })
  c.ready(run, 'api/0')
  c.exit(run, 'api/0', { code: 1 }, { stderrTail: ['Address already in use'] })
  expect(c.status(run)).toMatchObject({ state: 'failed', attempt: 1 })
})
