import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { runDocument } from '../../../src/cli/document/run-document.ts'
import { COMMANDS } from '../../../src/cli/frame/commands.ts'
import { byUser } from '../../../src/protocol/causes.ts'
import { resolveLaunch } from '../../../src/protocol/launch/document.ts'
import { cli } from '../../support/cli.ts'
import {
  exited,
  fakeFleet,
  RUN,
  runStatus,
  sleepMs,
  worker,
  type FakeFleet,
} from '../../support/fake-fleet.ts'

let fleet: FakeFleet
let dir: string
beforeEach(async () => {
  fleet = await fakeFleet()
  dir = await mkdtemp(join(tmpdir(), 'troupe-cli-'))
})
afterEach(async () => {
  await fleet.close()
  await rm(dir, { recursive: true, force: true })
})

const FORK = `${RUN}.main.0.1`
function on(argv: string[], more: object = {}) {
  return cli(argv, { troupe: fleet.troupe, cwd: dir, ...more })
}
function finish(code: number): void {
  fleet.final.add(FORK)
  fleet.statuses.set(
    RUN,
    runStatus({
      state: code === 0 ? 'succeeded' : 'failed',
      code,
      endedAt: 1,
      workers: [worker('main', 0, exited(code))],
    }),
  )
}

test.each([
  'ps',
  'nodes',
  `status ${RUN}`,
  `explain ${RUN}`,
  `wait ${RUN}`,
  `stop ${RUN}`,
  `kill ${RUN}`,
  `signal ${RUN} TERM`,
  `logs ${RUN}`,
  `events ${RUN}`,
  'completion bash',
])('%s --json: stdout is JSON and nothing else [FC-23 K-25 +K1]', async (line) => {
  await fleet.write(FORK, 'stdout', 'a line\n')
  await fleet.runEvent('ended')
  finish(0)
  const ran = await on([...line.split(' '), '--json'])
  expect(ran).toMatchObject({ code: 0, stderr: '' })
  expect(ran.stdout).not.toBe('')
  for (const text of ran.stdout.trim().split('\n')) JSON.parse(text)
})

test('the verbs of ray job are here too: list, submit, status, logs, stop [R-15]', async () => {
  finish(0)
  expect((await on(['list', '--all', '-q'])).stdout).toBe(`${RUN}\n`)
  expect(
    (
      await on(['submit', '-q', '-f', '-'], {
        stdin: '{"apiVersion":"troupe/v1","name":"job","roles":{"main":{"kind":"task","command":["true"]}}}',
      })
    ).stdout,
  ).toBe(`${RUN}\n`)
  for (const verb of ['status', 'logs', 'stop']) expect(Object.keys(COMMANDS)).toContain(verb)
})

test('relative directories of a launch are made absolute where it was typed', async () => {
  await on(['launch', '-f', '-'], {
    stdin:
      'apiVersion: troupe/v1\nname: job\ncwd: here\nroles: { main: { kind: task, command: ["true"] } }\n',
  })
  expect(fleet.asked[0]!.body).toMatchObject({ cwd: join(dir, 'here') })
})

test('launch --set, --backend and --key change what is sent', async () => {
  await on(['launch', '-f', '-', '--set', 'roles.main.env.LR=1e-3', '--backend', 'local', '--key', 'k1'], {
    stdin: 'apiVersion: troupe/v1\nname: job\nroles: { main: { kind: task, command: ["true"] } }\n',
  })
  expect(fleet.asked[0]).toMatchObject({
    key: 'k1',
    body: { backend: 'local', roles: { main: { env: { LR: '1e-3' } } } },
  })
})

test('the document of run -- CMD: named after the program, here, one task; --shape makes it torchrun [U-08]', () => {
  expect(runDocument(['/usr/bin/python3', '-c', 'x'], {})).toEqual({
    apiVersion: 'troupe/v1',
    name: 'python3',
    cwd: '.',
    roles: { main: { kind: 'task', command: ['/usr/bin/python3', '-c', 'x'] } },
  })
  const torch = runDocument(['train.py'], {
    shape: '2x2',
    env: ['A=b=c', 'EMPTY='],
    gpus: 2,
    cpus: 4,
    memory: '8GB',
    name: 'ddp',
  })
  expect(resolveLaunch({ ...torch, cwd: '/' }).roles[0]).toMatchObject({
    kind: 'torchrun',
    replicas: 2,
    nproc: 2,
    env: { A: 'b=c', EMPTY: '' },
  })
  expect(resolveLaunch({ ...runDocument(['x'], { nodes: 3 }), cwd: '/' }).roles[0]).toMatchObject({
    kind: 'task',
    replicas: 3,
  })
})

/** `run` against the fake: the run ends with `code` soon after it was launched. */
async function runs(argv: string[], code: number, play: () => Promise<void> = async () => {}) {
  fleet.onLaunch = () => {
    fleet.statuses.set(RUN, runStatus())
    void (async () => {
      await sleepMs(30)
      await play()
      finish(code)
      await fleet.workerEvent('logs-final', FORK, { logsFinal: {} })
      await fleet.runEvent('ended')
    })()
    return RUN
  }
  return on(argv)
}

test('run passes the child’s streams and code on, and ends with what to type next [R-10 U-08 K-08 +R3]', async () => {
  const ran = await runs(['run', '--', 'prog'], 7, async () => {
    await fleet.write(FORK, 'stdout', 'out\n')
    await fleet.write(FORK, 'stderr', 'err\n')
  })
  expect(ran).toMatchObject({ code: 7, stdout: 'out\n' })
  expect(ran.stderr).toContain('err\n')
  expect(ran.stderr).toMatch(/next:\n {2}troupe status +job-0123456789ab\n {2}troupe explain/)
})

test('run --json: one document on stdout, the program’s output on stderr [FC-23]', async () => {
  const ran = await runs(['run', '--json', '--', 'prog'], 0, () => fleet.write(FORK, 'stdout', 'out\n'))
  expect(JSON.parse(ran.stdout)).toEqual({ run: RUN, state: 'succeeded', code: 0, reason: null })
  expect(ran.stderr).toContain('out\n')
})

test('run --out keeps a copy of each source, byte for byte, and lists the files [R-18]', async () => {
  const ran = await runs(['run', '--out', 'copy', '--', 'prog'], 0, async () => {
    await fleet.write(FORK, 'stdout', Buffer.from([1, 0, 255, 10, 7]))
    await fleet.write(FORK, 'stderr', 'e')
  })
  expect((await readdir(join(dir, 'copy', RUN))).toSorted()).toEqual([
    'main-0-stderr.log',
    'main-0-stdout.log',
  ])
  expect([...(await readFile(join(dir, 'copy', RUN, 'main-0-stdout.log')))]).toEqual([1, 0, 255, 10, 7])
  expect(ran.stderr).toContain(
    `files written:\n  copy/${RUN}/main-0-stderr.log\n  copy/${RUN}/main-0-stdout.log`,
  )
})

test('Ctrl-C in run stops the run and waits for its end; again, it is killed', async () => {
  const orders: string[] = []
  fleet.onEnd = (how) => {
    orders.push(how)
    // later than the echo of one signal
    if (how === 'stop') return void setTimeout(() => process.emit('SIGINT'), 80)
    fleet.final.add(FORK)
    fleet.statuses.set(
      RUN,
      runStatus({
        state: 'cancelled',
        code: 130,
        endedAt: 1,
        workers: [worker('main', 0, exited(137, byUser('ann')))],
      }),
    )
    void fleet.runEvent('ended')
  }
  fleet.onLaunch = () => {
    fleet.statuses.set(RUN, runStatus())
    void fleet.write(FORK, 'stdout', 'up\n').then(() => setTimeout(() => process.emit('SIGINT'), 50))
    return RUN
  }
  const ran = await on(['run', '--', 'prog'])
  expect(orders).toEqual(['stop', 'kill'])
  expect(ran.code).toBe(130)
  expect(process.listenerCount('SIGINT')).toBe(0)
})

test('logs: stderr of a worker goes to stderr, in colour on a terminal alone [U-05]', async () => {
  await fleet.write(FORK, 'stdout', 'out\n')
  await fleet.write(FORK, 'stderr', 'err\n')
  finish(0)
  expect(await on(['logs', RUN])).toEqual({ code: 0, stdout: '[main/0] out\n', stderr: '[main/0] err\n' })
  expect((await on(['logs', RUN], { tty: true })).stderr).toContain('\x1b[31merr\x1b[39m')
})

test('logs --raw of several: exit 2 and their names; of one: its bytes', async () => {
  await fleet.write(FORK, 'stdout', 'out')
  await fleet.write(FORK, 'stderr', 'err')
  finish(0)
  expect(await on(['logs', RUN, '--raw'])).toMatchObject({
    code: 2,
    stdout: '',
    stderr: expect.stringContaining('main/0 stderr'),
  })
  expect(await on(['logs', RUN, '--raw', '--stream', 'stdout'])).toEqual({
    code: 0,
    stdout: 'out',
    stderr: '',
  })
})

test('kill all: every run that has not ended', async () => {
  fleet.onEnd = (_, { run }) =>
    fleet.statuses.set(
      run,
      runStatus({ run, state: 'cancelled', endedAt: 1, workers: [worker('main', 0, exited(137), run)] }),
    )
  for (const run of ['a-000000000001', 'b-000000000002'])
    fleet.statuses.set(run, runStatus({ run, workers: [worker('main', 0, {}, run)] }))
  finish(0)
  expect(
    JSON.parse((await on(['kill', 'all', '--json'])).stdout)
      .receipts.map((receipt: { worker: string }) => receipt.worker)
      .toSorted(),
  ).toEqual(['a-000000000001/main/0', 'b-000000000002/main/0'])
})

test('some got a signal and others would end by it: each of these is said, with what to write, and the code is 1', async () => {
  finish(0)
  const reason = 'SIGUSR1 would end pid 7 (bash): no handler for it'
  fleet.refused = [{ worker: `${RUN}/main/1`, reason }]
  const ran = await on(['signal', RUN, 'usr1'])
  expect(ran.code).toBe(1)
  expect(ran.stderr).toBe(
    `SIGUSR1 sent to ${RUN}/main/0\nnot to ${RUN}/main/1: ${reason}; ` +
      '--force sends it all the same, --to ranks to the ranks of torchrun alone\n',
  )
  const quiet = await on(['signal', RUN, 'usr1', '-q'])
  expect(quiet).toMatchObject({
    code: 1,
    stdout: `${RUN}/main/0\n`,
    stderr: expect.stringContaining('not to'),
  })
  const json = await on(['signal', RUN, 'usr1', '--json'])
  expect(json.code).toBe(1)
  expect(JSON.parse(json.stdout)).toEqual({
    signal: 'SIGUSR1',
    workers: [`${RUN}/main/0`],
    refused: [{ worker: `${RUN}/main/1`, reason }],
  })
})

test('signal all: a run that refuses it hides none of the others; when all do, the first says why', async () => {
  const [a, b] = ['a-000000000001', 'b-000000000002']
  for (const run of [a, b]) fleet.statuses.set(run, runStatus({ run, workers: [worker('main', 0, {}, run)] }))
  finish(0)
  fleet.refused = [{ worker: a, reason: 'SIGUSR1 would end it' }]
  const some = await on(['signal', 'all', 'usr1', '--json'])
  expect(some.code).toBe(1)
  expect(JSON.parse(some.stdout)).toEqual({
    signal: 'SIGUSR1',
    workers: [`${b}/main/0`],
    refused: [{ worker: a, reason: 'SIGUSR1 would end it' }],
  })
  fleet.refused.push({ worker: b, reason: 'SIGUSR1 would end it, too' })
  const none = await on(['signal', 'all', 'usr1', '--json'])
  expect(none).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('would end it') })
})

test('signal reaches a rank', async () => {
  finish(0)
  await on(['signal', `${RUN}/main:3`, 'usr1'])
  expect(fleet.asked.at(-1)).toMatchObject({
    verb: 'signal',
    body: { run: RUN, role: 'main', rank: 3, signal: 'SIGUSR1' },
  })
})
