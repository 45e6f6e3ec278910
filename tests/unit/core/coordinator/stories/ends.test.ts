/** The table of ends: DESIGN.md section 9, row by row. */
import { expect, test } from 'vitest'
import { coordinatorWith } from '../../../../support/coordinator-steps.ts'
import { rankOf } from '../../../../support/coordinator/reports.ts'
import { service, task, torchrun } from '../../../../support/coordinator/roles.ts'

test('all tasks are done and there is no stopWhen: the run succeeds with code 0, and its service is ended as done, which is no failure', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { api: service(), job: task({ replicas: 2 }) } })
  expect(c.status(run).state).toBe('running')
  c.exit(run, 'job/0', { code: 0 })
  expect(c.status(run).state).toBe('running')
  c.exit(run, 'job/1', { code: 0 })
  const status = c.status(run)
  expect(status).toMatchObject({ state: 'succeeded', code: 0, firstFailure: null })
  expect(c.worker(run, 'api/0').exit).toMatchObject({ signal: 'SIGTERM', killedBy: { by: 'done' } })
})

test('services only: the run goes on until somebody stops it, and is cancelled then', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { api: service() } })
  c.advance(10_000)
  expect(c.status(run).state).toBe('running')
  c.ask('stop', { run })
  expect(c.status(run)).toMatchObject({ state: 'cancelled', code: 130, reason: 'stopped by me' })
})

test('a set-up fails: status, reason and explain say so and name the step, not only the code [A-34 K-24]', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { a: task() } })
  c.exit(run, 'a/0', { code: 1, inSetUp: 'module load cuda' })
  expect(c.status(run)).toMatchObject({
    state: 'failed',
    code: 1,
    reason: `${run}/a/0 exited 1 in its set-up, at 'module load cuda' on n0`,
    firstFailure: { exit: { inSetUp: 'module load cuda' } },
  })
  expect(c.worker(run, 'a/0').exit).toMatchObject({ code: 1, inSetUp: 'module load cuda' })
  expect(
    c
      .ask('explain', { run })
      .body.lines.map(({ text }: { text: string }) => text)
      .join('\n'),
  ).toContain("exited 1 in its set-up, at 'module load cuda'")
})

test('a worker that we stopped exits with 7: never a failure', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { a: task(), b: task() } })
  c.agents.get('n0')!.hold.add('kill')
  c.ask('stop', { run })
  c.exit(run, 'a/0', { code: 7, killedBy: { by: 'user', name: 'me' } })
  c.letGo('n0')
  expect(c.status(run)).toMatchObject({ state: 'cancelled', code: 130, firstFailure: null })
})

test('a service exits 0 while a task needs it: failure with code 1', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { api: service(), job: task({ dependsOn: { api: 'started' } }) } })
  c.exit(run, 'api/0', { code: 0 })
  expect(c.status(run)).toMatchObject({ state: 'failed', code: 1 })
  expect(c.status(run).firstFailure!.worker).toBe(`${run}/api/0`)
})

test('a service exits 3 while others need it: its own code', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { api: service(), job: task() } })
  c.exit(run, 'api/0', { code: 3 })
  expect(c.status(run)).toMatchObject({ state: 'failed', code: 3 })
})

test('a service exits after all that depend on it are done, and another task goes on: no failure', () => {
  const c = coordinatorWith()
  const run = c.launch({
    roles: { api: service(), job: task({ dependsOn: { api: 'started' } }), other: task() },
  })
  c.exit(run, 'job/0', { code: 0 })
  c.exit(run, 'api/0', { code: 0 })
  expect(c.status(run).state).toBe('running')
  c.exit(run, 'other/0', { code: 0 })
  expect(c.status(run)).toMatchObject({ state: 'succeeded', code: 0 })
})

test('a task replica exits 0 early: fine, the others go on', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { job: task({ replicas: 3 }) } })
  c.exit(run, 'job/1', { code: 0 })
  c.advance(600_000)
  expect(c.status(run).state).toBe('running')
})

test('a worker is killed by SIGSEGV: 128 and the signal [R-10]', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { job: task() } })
  c.exit(run, 'job/0', { signal: 'SIGSEGV' })
  expect(c.status(run)).toMatchObject({ state: 'failed', code: 139 })
})

test('a person kills the run: grace 0, SIGKILL, cancelled with 130', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { job: task() } })
  c.ask('kill', { run })
  expect(c.orders('kill')[0]!.body).toMatchObject({
    forks: [{ signal: null, graceMs: 0, killedBy: { by: 'user', name: 'me' } }],
  })
  expect(c.status(run)).toMatchObject({ state: 'cancelled', code: 130 })
})

test.each([
  [127, 'nosuch could not be executed'],
  [126, 'file could not be executed'],
])(
  'a command that cannot be executed: could not start with %i, tried once, its peers do not run [A-18]',
  (code, startFault) => {
    const c = coordinatorWith({ n0: {}, n1: {} })
    const n1 = c.agents.get('n1')!
    n1.hold.add('start')
    const run = c.launch({ roles: { job: task({ replicas: 2 }) } })
    const bad = c.status(run).workers.find((worker) => worker.node === 'n1')!
    n1.forks.get(bad.forkId)!.report = {
      ...n1.forks.get(bad.forkId)!.report,
      phase: 'gone',
      startFault,
      exit: { code, signal: null, oom: null, unknown: null, killedBy: null },
      receipt: { outcome: 'gone', survivors: [], reason: null, ms: 0 },
    }
    c.letGo('n1')
    c.advance(1000)
    const status = c.status(run)
    expect(status).toMatchObject({ state: 'failed', code, attempt: 1 })
    expect(status.firstFailure).toMatchObject({ worker: bad.worker, exit: { code } })
    for (const worker of status.workers) expect(worker.state).toBe('exited')
  },
)

test.each([
  ['a rank that could not be executed', 127, "'/bin/sh\\r' (first line of ./run.sh) is not there"],
  ['a rank that may not be executed', 126, './run.sh is a directory'],
  ['a rank whose script is not there', 2, "python: can't open file '/x/el.py': [Errno 2] No such file"],
])('%s: tried once, although torchrun ends with 1 [A-35]', (_, code, words) => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { t: torchrun('1x1', { restart: { policy: 'on-failure' } }) } })
  c.exit(run, 't/0', { code: 1 }, { ranks: [rankOf(0, { code })], stderrTail: [words] })
  expect(c.status(run)).toMatchObject({ state: 'failed', code, attempt: 1 })
})

test.each([
  ['a script that is not there', ["python3: can't open file '/x/eval.py': [Errno 2] No such file"], 1],
  ['a wrong option, which is another 2', ['usage: eval.py [-h]', 'eval.py: error: no data'], 2],
  ['words on a missing file, and work after them', ["cp: can't open file 'a': [Errno 2]", 'epoch 1'], 2],
])('a task ends with 2, %s: so many attempts as can help', (_, stderrTail, attempt) => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { job: task({ restart: { policy: 'on-failure', backoff: ['1s', '1s'] } }) } })
  c.exit(run, 'job/0', { code: 2 }, { stderrTail })
  c.advance(2000)
  expect(c.status(run).attempt).toBe(attempt)
})

test('a start that cannot succeed on another try (no such directory): tried once, and that is the reason', () => {
  const c = coordinatorWith()
  const n0 = c.agents.get('n0')!
  n0.hold.add('start')
  const restart = { policy: 'on-failure' }
  const run = c.launch({ roles: { job: task({ restart }) } })
  const { forkId } = c.worker(run, 'job/0')
  n0.forks.get(forkId)!.report = {
    ...n0.forks.get(forkId)!.report,
    phase: 'gone',
    startFault: "the working directory '/none' is not there on this node",
    startFinal: true,
    exit: {
      code: null,
      signal: null,
      oom: null,
      unknown: "could not start: the working directory '/none' is not there on this node",
      killedBy: null,
    },
    receipt: { outcome: 'gone', survivors: [], reason: null, ms: 0 },
  }
  c.letGo('n0')
  c.advance(10_000)
  const status = c.status(run)
  expect(status).toMatchObject({ state: 'failed', code: 125, attempt: 1 })
  expect(status.reason).toContain("job/0 could not start: the working directory '/none' is not there")
})

test('a service that went to the background: the reason says what it left, and what to do', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { api: service() } })
  c.exit(run, 'api/0', { code: 0, left: 1 })
  expect(c.status(run).reason).toBe(
    `${run}/api/0 exited 0 on n0: its root ended while 1 process of it ran: start it in the foreground`,
  )
})

test('stopWhen: the run ends when that role is done, and whatever else runs is ended as done', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { trainer: task(), helper: task() }, stopWhen: 'trainer.done' })
  c.exit(run, 'trainer/0', { code: 0 })
  expect(c.status(run)).toMatchObject({ state: 'succeeded', code: 0 })
  expect(c.worker(run, 'helper/0').exit).toMatchObject({ killedBy: { by: 'stop-when', role: 'trainer' } })
})

test('stopWhen counts failure too: the run fails with the code', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { trainer: task(), api: service() }, stopWhen: 'trainer.done' })
  c.exit(run, 'trainer/0', { code: 9 })
  expect(c.status(run)).toMatchObject({ state: 'failed', code: 9 })
})

test('failFast is off: a failed replica does not end its peers; the role fails when all are done', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { job: task({ replicas: 3, failFast: false }) } })
  c.exit(run, 'job/0', { code: 5 })
  expect(c.status(run).state).toBe('running')
  c.exit(run, 'job/1', { code: 0 })
  c.exit(run, 'job/2', { code: 0 })
  expect(c.status(run)).toMatchObject({ state: 'failed', code: 5, firstFailure: { worker: `${run}/job/0` } })
})

test('an exit that nobody can know: 125, and it says so', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { job: task() } })
  c.exit(run, 'job/0', { unknown: 'the shim was killed' })
  expect(c.status(run)).toMatchObject({ state: 'failed', code: 125 })
})

test('an ended run keeps pids, ranks and exits after a failover, when its agents have forgotten it [U-11 +U5]', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch({ roles: { trainer: torchrun('2x2') } })
  const { pid } = c.worker(run, 'trainer/0')
  c.exit(run, 'trainer/0', { code: 0 }, { ranks: [rankOf(0, { code: 0 }), rankOf(1, { code: 0 })] })
  c.exit(run, 'trainer/1', { code: 0 })
  const before = c.status(run)
  c.failover()
  const after = c.status(run)
  expect(after.workers[0]).toMatchObject({
    pid,
    exit: { code: 0 },
    ranks: [{ rank: 0 }, { rank: 1 }],
    receipt: { outcome: 'gone' },
  })
  expect(after).toEqual({
    ...before,
    workers: before.workers.map((worker) => ({ ...worker, incarnation: expect.any(String) })),
  })
  expect(c.agents.get('n0')!.forks.size).toBe(0)
})
