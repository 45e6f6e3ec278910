import { afterAll, beforeAll, expect, test } from 'vitest'
import { delimiter, dirname, join } from 'node:path'
import { alive, root, run as runProgram, startFleet, TROUPE, until, type Fleet } from '../support/fleet.ts'

let fleet: Fleet
beforeAll(async () => {
  fleet = await startFleet({ agents: 2 })
})
afterAll(() => fleet.end())

/** Ranks that wait for each other, then one of them ends as told; the others would go on for ever. */
function gang(name: string, how: string) {
  return JSON.stringify({
    apiVersion: 'troupe/v1',
    name,
    cwd: root,
    roles: {
      trainer: {
        kind: 'torchrun',
        shape: '2x2',
        command: [join(root, 'tests/support/programs/rank.py'), how],
        stop: { grace: '5s' },
      },
    },
  })
}

test.each([
  ['exits 7', 'exit:7', 7, { code: 7, signal: null }],
  ['is killed by SIGSEGV', 'segv', 139, { code: null, signal: 'SIGSEGV' }],
  ['is killed by SIGKILL', 'kill', 137, { code: null, signal: 'SIGKILL' }],
])(
  'a rank that %s: named first, its code is the run’s, peers gone within a second and the grace [FC-1 U-06 A-27 R-10 U-02 +U4 +A2]',
  async (_, how, code, exit) => {
    const launched = await fleet.troupe(['launch', '-f', '-', '-q'], {
      input: gang(`rank-${how.split(':')[0]}`, how),
    })
    const run = launched.stdout.trim()
    const waited = await fleet.troupe(['wait', run, '--timeout', '90s'], { timeoutMs: 100_000 })
    const status = await fleet.json(['status', run])
    expect(waited.code).toBe(code)
    expect(status.state).toBe('failed')
    expect(status.firstFailure).toMatchObject({ rank: 3, exit: { ...exit, killedBy: null } })
    const ranks = status.workers.flatMap((worker: { ranks: unknown[] }) => worker.ranks)
    expect(ranks.map((rank: { rank: number }) => rank.rank).toSorted()).toEqual([0, 1, 2, 3])
    // nobody of the others ended by itself
    for (const rank of ranks)
      if (rank.rank !== 3)
        expect(rank.exit).toMatchObject({ code: null, signal: expect.stringMatching(/^SIG(TERM|KILL)$/) })
    for (const rank of ranks) expect(await alive(rank.pid)).toBe(false)
    for (const worker of status.workers) expect(worker.receipt.outcome).toBe('gone')
    expect(status.stopMs).toBeLessThan(6_000)
  },
)

test('each rank has log sources of its own, read by --rank [A-33 U-05 +A22]', async () => {
  const run = (
    await fleet.troupe(['launch', '-f', '-', '-q'], { input: gang('rank-logs', 'exit:0') })
  ).stdout.trim()
  await fleet.troupe(['wait', run, '--timeout', '90s'], { timeoutMs: 100_000 })
  for (const rank of [0, 3]) {
    const logs = await fleet.troupe(['logs', run, '--rank', String(rank), '--stream', 'stdout', '--raw'])
    expect(logs.stdout).toContain(`rank ${rank} is here`)
    expect(logs.stdout).not.toContain(`rank ${3 - rank} is here`)
  }
  const merged = (await fleet.troupe(['logs', run])).stdout
  expect(merged).toContain('[trainer:0]')
  expect(merged).toContain('[trainer:3]')
})

test('all torchrun agents and ranks are told at once when one whole agent is killed [FC-1]', async () => {
  const run = (
    await fleet.troupe(['launch', '-f', '-', '-q'], { input: gang('agent-killed', 'wait') })
  ).stdout.trim()
  const status = await until(
    'all four ranks run',
    async () => {
      const now = await fleet.json(['status', run])
      const ranks = now.workers.flatMap((worker: { ranks: { state: string }[] }) => worker.ranks)
      return ranks.filter((rank: { state: string }) => rank.state === 'running').length === 4 ? now : null
    },
    60_000,
  )
  process.kill(status.workers[1].pid, 'SIGKILL')
  expect((await fleet.troupe(['wait', run, '--timeout', '60s'])).code).toBe(137)
  const ended = await fleet.json(['status', run])
  expect(ended.firstFailure).toMatchObject({ worker: `${run}/trainer/1`, exit: { signal: 'SIGKILL' } })
  for (const worker of ended.workers) {
    expect(worker.receipt.outcome).toBe('gone')
    for (const rank of worker.ranks) expect(await alive(rank.pid)).toBe(false)
  }
})

test('an elastic gang loses a torchrun by SIGKILL: those that are left go on in a smaller world, and the run ends with 0', async () => {
  const input = JSON.stringify({
    apiVersion: 'troupe/v1',
    name: 'elastic',
    cwd: root,
    roles: {
      t: {
        kind: 'torchrun',
        shape: '1:2x1',
        command: [join(root, 'tests/support/programs/elastic_rank.py')],
        stop: { grace: '5s' },
      },
    },
  })
  const run = (await fleet.troupe(['launch', '-f', '-', '-q'], { input })).stdout.trim()
  const said = async (): Promise<string> => (await fleet.troupe(['logs', run])).stdout
  await until(
    'both ranks',
    async () => [...(await said()).matchAll(/ready rank \d of 2/g)].length === 2,
    120_000,
  )
  const [, second] = (await fleet.json(['status', run])).workers
  process.kill(second.pid, 'SIGKILL')
  const waited = await fleet.troupe(['wait', run, '--timeout', '120s'], { timeoutMs: 130_000 })
  expect(waited.code).toBe(0)
  expect(await said()).toContain('ready rank 0 of 1')
  const status = await fleet.json(['status', run])
  expect(status).toMatchObject({ state: 'succeeded', firstFailure: null })
  expect(status.workers[1]).toMatchObject({ attempt: 1, exit: { signal: 'SIGKILL' } })
  for (const worker of status.workers) expect(worker.receipt.outcome).toBe('gone')
})

test('`failFast: false`, a torchrun is killed: the other one, whose rank then ends well, is not left in torch’s barrier', async () => {
  const input = JSON.stringify({
    apiVersion: 'troupe/v1',
    name: 'left-launcher',
    cwd: root,
    roles: {
      t: {
        kind: 'torchrun',
        shape: '2x1',
        failFast: false,
        stop: { grace: '5s' },
        command: [join(root, 'tests/support/programs/stop_once.py'), '0'],
      },
    },
  })
  const run = (await fleet.troupe(['launch', '-f', '-', '-q'], { input })).stdout.trim()
  const said = async (words: RegExp): Promise<number> =>
    [...(await fleet.troupe(['logs', run])).stdout.matchAll(words)].length
  await until('both ranks', async () => (await said(/is ready/g)) === 2, 60_000)
  process.kill((await fleet.json(['status', run])).workers[1].pid, 'SIGKILL')
  await until('its end is known', async () => {
    const { workers } = await fleet.json(['status', run])
    return workers[1].receipt !== null
  })
  // to the rank alone, which ends by itself then
  expect((await fleet.troupe(['signal', `${run}/t/0`, 'TERM'])).code).toBe(0)
  // torch itself would wait for its peer for 300 s
  expect((await fleet.troupe(['wait', run, '--timeout', '60s'], { timeoutMs: 70_000 })).code).toBe(137)
  expect(await said(/rank 0 SAVED/g)).toBe(1)
  const { workers } = await fleet.json(['status', run])
  expect(workers[0]).toMatchObject({
    ranks: [{ exit: { code: 0 } }],
    exit: { killedBy: { by: 'peer', worker: `${run}/t/1` } },
    receipt: { outcome: 'gone' },
  })
})

test('a command about a rank runs as it is printed: explain points at its words, a stop of it at its signal', async () => {
  const typed = (line: string) =>
    runProgram('bash', ['-c', line], {
      env: { ...fleet.env, PATH: `${dirname(TROUPE)}${delimiter}${fleet.env['PATH']}` },
    })
  const { stdout } = await fleet.troupe(['launch', '-f', '-', '-q'], { input: gang('rank-next', 'sleep') })
  const id = stdout.trim()
  await until(
    'rank 3 is there',
    async () => (await fleet.troupe(['logs', id])).stdout.includes('rank 3 is here'),
    60_000,
  )
  const refused = await fleet.troupe(['stop', `${id}/trainer:3`])
  expect(refused.code).toBe(2)
  const signal = /signal the rank: (troupe signal .*)$/m.exec(refused.stderr)![1]!
  expect(signal).toBe(`troupe signal ${id}/trainer:3 TERM --force`)
  expect((await typed(signal)).code).toBe(0)
  await fleet.troupe(['wait', id, '--timeout', '90s'], { timeoutMs: 100_000 })
  const [, failure] = await fleet.json<{ next: string }[]>(['explain', id])
  expect(failure!.next).toBe(`troupe logs ${id}/trainer --rank 3 --tail 50`)
  expect((await typed(failure!.next)).code).toBe(0)
  expect((await typed(`troupe logs ${id}/trainer --rank 3 --tail 50`)).stdout).toContain('rank 3 is here')
})
