/**
 * What people see, byte for byte. After a wanted change: npx vitest run tests/golden/cli -u, and read the
 * difference.
 */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { byUser, type Cause } from '../../../src/protocol/causes.ts'
import type { NodeInfo } from '../../../src/protocol/node-info.ts'
import type { RunStatus } from '../../../src/protocol/shapes.ts'
import { cli } from '../../support/cli.ts'
import {
  exited,
  fakeFleet,
  pending,
  RUN,
  runStatus,
  worker,
  type FakeFleet,
} from '../../support/fake-fleet.ts'

let fleet: FakeFleet
beforeEach(async () => {
  fleet = await fakeFleet()
  vi.spyOn(Date, 'now').mockReturnValue(1_700_000_065_000)
})
afterEach(async () => {
  vi.restoreAllMocks()
  await fleet.close()
})

const PEER: Cause = { by: 'peer', worker: `${RUN}/trainer/1`, rank: 3 }
function rank(n: number, code: number | null, signal: string | null = null) {
  return {
    rank: n,
    localRank: n % 2,
    restart: 0,
    pid: 5000 + n,
    state: 'exited' as const,
    exit: { code, signal, oom: null, unknown: null, killedBy: signal === 'SIGTERM' ? PEER : null },
    startedAt: 1,
    exitedAt: 2,
  }
}
function failed(): RunStatus {
  return runStatus({
    state: 'failed',
    reason: 'trainer:3 exited 7',
    code: 7,
    endedAt: 1_700_000_060_000,
    stopMs: 840,
    firstFailure: {
      worker: `${RUN}/trainer/1`,
      rank: 3,
      node: 'n1',
      exit: { code: 7, signal: null, oom: null, unknown: null, killedBy: null },
      stderrTail: [
        'Traceback (most recent call last):',
        '  File "train.py", line 3',
        'RuntimeError: no gradient',
      ],
      at: 1,
      uncertain: false,
    },
    roles: [
      {
        role: 'trainer',
        kind: 'torchrun',
        state: 'failed',
        workers: 2,
        ready: 0,
        started: 2,
        wasReady: 2,
        ended: 2,
        startSkewMs: 3.4,
      },
    ],
    workers: [
      worker('trainer', 0, {
        ...exited(1, PEER),
        node: 'n0',
        ranks: [rank(0, null, 'SIGTERM'), rank(1, null, 'SIGTERM')],
      }),
      worker('trainer', 1, { ...exited(1), node: 'n1', ranks: [rank(2, null, 'SIGTERM'), rank(3, 7)] }),
    ],
    stragglers: [
      { worker: `${RUN}/trainer/1`, rank: 2, kind: 'start', ms: 1500, text: 'started 1.5 s after the first' },
    ],
  })
}
function waiting(): RunStatus {
  return runStatus({
    run: 'eval-aaaaaaaaaaaa',
    name: 'eval',
    state: 'pending',
    reason: 'waiting for nodes: 2 GPUs wanted, 0 free',
    acceptedAt: 1_700_000_050_000,
    workers: [worker('main', 0, pending, 'eval-aaaaaaaaaaaa')],
  })
}
function node(over: Partial<NodeInfo>): NodeInfo {
  return {
    node: 'n0',
    incarnation: '01ARZ3NDEKTSV4RRFFQ69G5FAV',
    state: 'ready',
    pid: 77,
    hostname: 'hal',
    cpus: 2,
    gpus: 0,
    memoryBytes: 8e9,
    workers: 1,
    lastSeenMs: 210,
    loopLagMs: 1.4,
    unowned: [],
    unownedCount: 0,
    reason: null,
    ...over,
  }
}

async function show(argv: string[], stdin?: string): Promise<string> {
  const { code, stdout, stderr } = await cli(argv, {
    troupe: fleet.troupe,
    ...(stdin !== undefined && { stdin }),
  })
  return `$ troupe ${argv.join(' ')}\n--- stdout\n${stdout}--- stderr\n${stderr}--- exit ${code}\n`
}

test('a run that failed: the failure first, with its last lines and how long its peers took to stop [U-05 R-17 A-34]', async () => {
  fleet.statuses.set(RUN, failed())
  await expect(await show(['status', 'last'])).toMatchFileSnapshot('status-failed.txt')
  await expect(await show(['wait', RUN])).toMatchFileSnapshot('wait-failed.txt')
})

test('a run whose set-up failed: the failure block and the worker say at which step [A-34 U-05]', async () => {
  const exit = {
    code: 1,
    signal: null,
    oom: false,
    unknown: null,
    killedBy: null,
    inSetUp: 'module load cuda/13',
  }
  const stderrTail = ['bash: module: command not found']
  fleet.statuses.set(
    RUN,
    runStatus({
      state: 'failed',
      reason: `${RUN}/main/0 exited 1 in its set-up, at 'module load cuda/13' on n0`,
      code: 1,
      endedAt: 1_700_000_060_000,
      firstFailure: { worker: `${RUN}/main/0`, node: 'n0', exit, stderrTail, at: 1, uncertain: false },
      workers: [worker('main', 0, { ...exited(1), exit, node: 'n0' })],
    }),
  )
  await expect(await show(['status', 'last'])).toMatchFileSnapshot('status-set-up.txt')
})

test('a run that is well, and one that waits and why [U-11]', async () => {
  fleet.statuses.set(
    RUN,
    runStatus({
      workers: [
        worker('main', 0, { addr: '127.0.0.1:10000', ports: [10_000] }),
        worker('main', 1, { ready: false, reason: 'http 503 on port 0' }),
      ],
    }),
  )
  fleet.statuses.set('eval-aaaaaaaaaaaa', waiting())
  await expect(await show(['status', RUN])).toMatchFileSnapshot('status-running.txt')
  await expect(await show(['status', 'eval'])).toMatchFileSnapshot('status-pending.txt')
})

test('the list of runs [U-11]', async () => {
  fleet.statuses.set('eval-aaaaaaaaaaaa', waiting())
  fleet.statuses.set(RUN, failed())
  await expect(await show(['ps'])).toMatchFileSnapshot('ps.txt')
  await expect(await show(['ps', '--all'])).toMatchFileSnapshot('ps-all.txt')
})

test('nodes, with one that holds forks of nobody', async () => {
  fleet.nodes = [
    node({}),
    node({ node: 'n1', state: 'suspect', lastSeenMs: 4200, unowned: ['old-0123456789ab.main.0.1'] }),
    node({ node: 'big', state: 'lost', gpus: 8, reason: 'no beat for 31 s' }),
    node({ node: 'big2', gpus: 8, gpusSharedWith: ['big'] }),
  ]
  await expect(await show(['nodes'])).toMatchFileSnapshot('nodes.txt')
})

test('a launch ends with what to type next; its id alone is data [K-08 K-25 +K1]', async () => {
  const document = 'apiVersion: troupe/v1\nname: job\nroles: { main: { kind: task, command: ["true"] } }\n'
  await expect(await show(['launch', '-f', '-'], document)).toMatchFileSnapshot('launch.txt')
  await expect(await show(['launch', '-q', '-f', '-'], document)).toMatchFileSnapshot('launch-quiet.txt')
})

test('receipts of a stop, and of one that left something', async () => {
  fleet.statuses.set(
    RUN,
    runStatus({
      state: 'cancelled',
      code: 130,
      endedAt: 1,
      workers: [
        worker('main', 0, exited(143, byUser('ann'))),
        worker('main', 1, {
          ...exited(143, byUser('ann')),
          receipt: {
            outcome: 'survivors',
            survivors: [{ pid: 812, command: 'python -m stuck' }],
            reason: null,
            ms: 10_012,
          },
        }),
      ],
    }),
  )
  await expect(await show(['stop', RUN])).toMatchFileSnapshot('stop.txt')
})

test('explain: cause and next check [A-42]', async () => {
  fleet.statuses.set(RUN, runStatus())
  await expect(await show(['explain', RUN])).toMatchFileSnapshot('explain.txt')
})

test('what was not found, and what fits several, is said with the candidates [R-17]', async () => {
  fleet.statuses.set(RUN, failed())
  fleet.statuses.set('job-ffffffffffff', runStatus({ run: 'job-ffffffffffff' }))
  const said = `${await show(['status', 'jop'])}${await show(['status', 'job-'])}${await show(['logs', 'nothing-like-it'])}`
  await expect(said.replaceAll(/\d+ (s|min|h|d) old/g, 'N s old')).toMatchFileSnapshot('not-found.txt')
})

test('help', async () => {
  await expect(`${await show(['--help'])}${await show(['logs', '--help'])}`).toMatchFileSnapshot('help.txt')
})
