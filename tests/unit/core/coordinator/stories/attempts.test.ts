/** The attempts of a worker: what is told of each, of how many, and what is never said of them. */
import { expect, test } from 'vitest'
import { coordinatorWith, type Story } from '../../../../support/coordinator-steps.ts'
import { rankOf } from '../../../../support/coordinator/reports.ts'
import { service, task, torchrun } from '../../../../support/coordinator/roles.ts'

function again(more: Record<string, unknown> = {}): Record<string, unknown> {
  return { restart: { policy: 'always', max: 20, window: '24h', backoff: ['2s', '2s'], ...more } }
}

function failTwice(c: Story, run: string, worker: string): void {
  c.exit(run, worker, { code: 5 }, { stderrTail: ['boom 1'] })
  c.advance(3000)
  c.exit(run, worker, { code: 5 }, { stderrTail: ['boom 2'] })
}

test('each attempt is told with its node, its exit, how it ended and its last words', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { flap: task(again()) } })
  failTwice(c, run, 'flap/0')
  c.advance(3000)
  expect(c.worker(run, 'flap/0')).toMatchObject({
    state: 'running',
    exit: null,
    attempts: [
      { attempt: 1, node: 'n0', exit: { code: 5 }, reason: 'exited 5', lastWords: ['boom 1'] },
      { attempt: 2, node: 'n0', exit: { code: 5 }, reason: 'exited 5', lastWords: ['boom 2'] },
      { attempt: 3, node: 'n0', exit: null, reason: null, lastWords: [] },
    ],
  })
  c.exit(run, 'flap/0', { code: 0 })
  const ended = c.worker(run, 'flap/0')
  expect(ended).toMatchObject({ exit: { code: 0 }, reason: 'exited 0 (attempt 3)' })
  expect(ended.attempts.map(({ reason }) => reason)).toEqual(['exited 5', 'exited 5', 'exited 0'])
  expect(c.status(run)).toMatchObject({ state: 'succeeded', firstFailure: null })
})

test('the run ends while a service waits for its next attempt: it exited, and is not said to have never started', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { s: service(again()), t: task() }, stopWhen: 't.done' })
  failTwice(c, run, 's/0')
  expect(c.worker(run, 's/0')).toMatchObject({ state: 'pending', exit: { code: 5 }, attempt: 2 })
  expect(c.worker(run, 's/0').reason).toMatch(/^waiting for a retry .*; attempt 2 exited 5$/)
  c.exit(run, 't/0', { code: 0 })
  const status = c.status(run)
  expect(status.state).toBe('succeeded')
  expect(status.roles[0]).toMatchObject({ role: 's', state: 'exited' })
  expect(c.worker(run, 's/0')).toMatchObject({
    state: 'exited',
    node: 'n0',
    attempt: 2,
    exit: { code: 5 },
    reason: 'waiting for attempt 3 when the run ended; attempt 2 exited 5',
  })
})

test('a person stops a run, or the worker alone, in its back-off: the attempts before are told', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { t: task(again()) } })
  failTwice(c, run, 't/0')
  c.ask('stop', { run })
  expect(c.worker(run, 't/0')).toMatchObject({
    state: 'exited',
    reason: 'waiting for attempt 3 when the run ended; attempt 2 exited 5',
  })
  const other = c.launch({ roles: { t: task(again()), u: task() } }, { key: 'other' })
  failTwice(c, other, 't/0')
  c.ask('stop', { run: other, role: 't', index: 0 })
  const stopped = c.worker(other, 't/0')
  expect(stopped.reason).toBe('waiting for attempt 3 when it was stopped; attempt 2 exited 5')
  expect(stopped.attempts.map(({ exit }) => exit?.code)).toEqual([5, 5])
})

test('the next attempt is called off before it starts: that one never started, the one before did', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { t: task(again()) } })
  c.exit(run, 't/0', { code: 5 })
  c.agents.get('n0')!.hold.add('start')
  c.advance(3000)
  c.ask('kill', { run })
  c.letGo('n0')
  c.advance(3000)
  expect(c.worker(run, 't/0').reason).toContain('attempt 2 was never started; attempt 1 exited 5')
})

test('what never had an attempt was never started', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { t: task({ nodelist: ['n9'] }) } })
  c.ask('stop', { run })
  expect(c.worker(run, 't/0')).toMatchObject({
    state: 'pending',
    exit: null,
    reason: 'it was never started',
    attempts: [],
  })
})

test('attempts are kept over a failover and a snapshot, the last ten, with five lines of 1 KiB together', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { flap: task(again()) } })
  const words = Array.from({ length: 30 }, (_, line) => `${line} ${'x'.repeat(250)}`)
  for (let attempt = 1; attempt <= 13; attempt++) {
    c.exit(run, 'flap/0', { code: 5 }, { stderrTail: words })
    c.advance(3000)
  }
  c.failover()
  const { attempt, attempts, attemptsForgotten } = c.worker(run, 'flap/0')
  expect(attempt).toBe(14)
  expect(attempts.map((one) => one.attempt)).toEqual([4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14])
  expect(attemptsForgotten).toBe(3)
  expect(attempts[0]!.lastWords.length).toBeLessThanOrEqual(5)
  expect(attempts[0]!.lastWords.join('').length).toBeLessThanOrEqual(1024)
  expect(attempts[0]!.lastWords.at(-1)).toBe(words.at(-1))
})

test('a rank fails in a gang that is started again: its worker’s attempt names the rank, its peer’s the cause', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch({ roles: { t: torchrun('2x1', again()) } })
  c.exit(run, 't/1', { code: 1 }, { ranks: [rankOf(1, { code: 9 })], stderrTail: ['ValueError'] })
  c.advance(3000)
  const [t0, t1] = c.status(run).workers
  expect(t1!.attempts[0]).toMatchObject({
    reason: 'rank 1 exited 9, and torchrun exited 1',
    lastWords: ['ValueError'],
  })
  expect(t0!.attempts[0]!.reason).toContain('ended by the failure of t:1')
})

test('a restart is told once, with its cause and its pause', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch({ roles: { t: torchrun('2x1', again({ max: 3, backoff: ['1s', '30s'] })) } })
  c.exit(run, 't/1', { code: 1 }, { ranks: [rankOf(1, { code: 9 })] })
  c.advance(500)
  const { node } = c.worker(run, 't/1')
  expect(c.events('restart').map(({ body }) => body.reason)).toEqual([
    `attempt 1: t:1 exited 9 on ${node}; attempt 2 in 1 s (restart 1 of 3)`,
  ])
  c.advance(2000)
  c.exit(run, 't/0', { code: 1 }, { ranks: [rankOf(0, { signal: 'SIGSEGV' })] })
  c.advance(500)
  expect(c.events('restart').at(-1)!.body.reason).toMatch(
    /^attempt 2: t:0 was killed by SIGSEGV on n\d; attempt 3 in 2 s \(restart 2 of 3\)$/,
  )
})

test('a whole run is started again, and an attempt that could not be started: both are told', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { a: service(), b: task(again({ scope: 'run', max: 1 })) } })
  c.exit(run, 'b/0', { code: 3 })
  c.advance(3000)
  expect(c.events('restart').map(({ body }) => body.reason)).toEqual([
    'attempt 1: b/0 exited 3 on n0; attempt 2 in 2 s (restart 1 of 1)',
  ])
  expect(c.worker(run, 'b/0').attempts).toMatchObject([{ exit: { code: 3 } }, { exit: null }])
  expect(c.worker(run, 'a/0').attempts[0]!.reason).toContain('ended by the failure of b/0')
})

test('explain says how each attempt failed, with its last line and the command that shows it', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { flap: task(again()) } })
  failTwice(c, run, 'flap/0')
  c.advance(3000)
  c.exit(run, 'flap/0', { code: 0 })
  const { lines } = c.ask('explain', { run }).body as { lines: { text: string; next: string | null }[] }
  expect(lines.slice(1)).toMatchObject([
    {
      text: 'attempt 1 exited 5 on n0; last line: boom 1',
      next: `troupe logs ${run}/flap/0 --attempt 1`,
    },
    {
      text: 'attempt 2 exited 5 on n0; last line: boom 2',
      next: `troupe logs ${run}/flap/0 --attempt 2`,
    },
    { text: 'exited 0 (attempt 3)' },
  ])
})

test('explain points at the rank that failed first', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch({ roles: { t: torchrun('2x1') } })
  c.exit(run, 't/1', { code: 1 }, { ranks: [rankOf(1, { code: 9 })] })
  const { lines } = c.ask('explain', { run }).body as { lines: { subject: string; next: string | null }[] }
  expect(lines[1]).toMatchObject({
    subject: `${run}/t:1`,
    next: `troupe logs ${run}/t --rank 1 --tail 50`,
  })
})
