/** A stop reaches its program once, and is not cut: with real torchrun, and programs that count. */
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { descendantsOf } from '../../src/system/proc.ts'
import { root, startFleet, task, until, type Fleet } from '../support/fleet.ts'

let fleet: Fleet
beforeAll(async () => {
  fleet = await startFleet({ agents: 2 })
})
afterAll(() => fleet.end())

const once = join(root, 'tests/support/programs/stop_once.py')

async function launch(document: string): Promise<string> {
  const launched = await fleet.troupe(['launch', '-f', '-', '-q'], { input: document })
  expect(launched.code, launched.stderr).toBe(0)
  return launched.stdout.trim()
}

async function lines(run: string, pattern: RegExp): Promise<string[]> {
  return (await fleet.troupe(['logs', run])).stdout.match(pattern)?.toSorted() ?? []
}

async function said(run: string, word: RegExp, times: number): Promise<void> {
  await until(`${String(word)} ${times} times`, async () => (await lines(run, word)).length === times, 60_000)
}

function gang(shape: string, save: string, role: object = {}, top: object = {}): string {
  return task('gang', [once, save], { kind: 'torchrun', shape, stop: { grace: '40s' }, ...role }, top)
}

test.each([
  ['1x2', {}, 'SIGTERM'],
  ['2x1', {}, 'SIGTERM'],
  ['1x2', { stop: { signal: 'INT', grace: '40s' } }, 'SIGINT'],
])('torchrun %s %j: each rank gets %s exactly once, saves and exits 0', async (shape, role, signal) => {
  const run = await launch(gang(shape, '1.5', role))
  await said(run, /is ready/g, 2)
  expect((await fleet.troupe(['stop', run], { timeoutMs: 60_000 })).code).toBe(0)
  expect(await lines(run, /rank \d (got \w+|SAVED)/g)).toEqual([
    'rank 0 SAVED',
    `rank 0 got ${signal}`,
    'rank 1 SAVED',
    `rank 1 got ${signal}`,
  ])
  const { workers } = await fleet.json(['status', run])
  for (const { ranks, receipt } of workers) {
    expect(receipt.outcome).toBe('gone')
    for (const { exit } of ranks) expect(exit).toMatchObject({ code: 0 })
  }
})

test('torchrun 2x1, the agent of one node dies: the rank of the other one gets the signal once', async () => {
  const run = await launch(gang('2x1', '1.5'))
  await said(run, /is ready/g, 2)
  const { workers } = await fleet.json(['status', run])
  process.kill(workers[1].pid, 'SIGKILL')
  await fleet.troupe(['wait', run, '--timeout', '60s'], { timeoutMs: 70_000 })
  expect((await lines(run, /rank 0 (got \w+|SAVED)/g)).slice(0, 2)).toEqual([
    'rank 0 SAVED',
    'rank 0 got SIGTERM',
  ])
})

test('a save that takes longer than the time that torchrun gives by itself is not cut', async () => {
  // a second is what torch would give here; the grace is what it has to give
  const run = await launch(gang('1x1', '8', { env: { TORCH_ELASTIC_SHUTDOWN_TIMEOUT: '1' } }))
  await said(run, /is ready/g, 1)
  expect((await fleet.troupe(['stop', run], { timeoutMs: 60_000 })).code).toBe(0)
  expect(await lines(run, /rank 0 (got \w+|SAVED)/g)).toEqual(['rank 0 SAVED', 'rank 0 got SIGTERM'])
})

test('torchrun has a shorter time of its own, and kills: each rank’s exit says so, and explain', async () => {
  // a set-up or a prefix has the last word on the environment
  const prefix = ['env', 'TORCH_ELASTIC_SHUTDOWN_TIMEOUT=3']
  const run = await launch(gang('1x2', '60', { prefix }))
  await said(run, /is ready/g, 2)
  expect((await fleet.troupe(['stop', run], { timeoutMs: 60_000 })).code).toBe(0)
  const [worker] = (await fleet.json(['status', run])).workers
  const killedBy = { by: 'launcher', name: 'torchrun', afterMs: 3000 }
  for (const { exit } of worker.ranks)
    expect(exit).toMatchObject({ code: null, signal: 'SIGKILL', unknown: null, killedBy })
  expect(worker.receipt.outcome).toBe('gone')
  expect((await fleet.troupe(['explain', run])).stdout).toContain(
    'was killed by SIGKILL, ended by torchrun, with its group, after its 3 s, before the 40 s of stop.grace',
  )
})

test('torch’s own DataLoader, whose workers die of the signal: the root alone gets it, and saves [dataloader-term]', async () => {
  const run = await launch(task('loader', ['python3', join(root, 'tests/support/programs/loader_torch.py')]))
  await said(run, /begins/g, 1)
  const [{ pid }] = (await fleet.json(['status', run])).workers
  // without its worker processes it would prove nothing
  expect(descendantsOf(pid).length).toBeGreaterThanOrEqual(2)
  await fleet.troupe(['stop', run])
  expect(await lines(run, /saved/g)).toEqual(['saved'])
  expect((await fleet.json(['status', run])).workers[0]).toMatchObject({
    exit: { code: 0, signal: null },
    receipt: { outcome: 'gone' },
  })
})

test('signal USR1 to a torchrun role: each rank has it once, the run goes on, and who sent it is told', async () => {
  const run = await launch(gang('1x2', '0.2'))
  await said(run, /is ready/g, 2)
  const sent = await fleet.troupe(['signal', run, '10'])
  expect(sent.code, sent.stderr).toBe(0)
  await said(run, /got SIGUSR1/g, 2)
  const status = await fleet.json(['status', run])
  expect(status.state).toBe('running')
  expect(status.workers[0].signals).toMatchObject([{ signal: 'SIGUSR1', to: 'ranks' }])
  expect((await fleet.troupe(['events', run])).stdout).toContain('signalled')
  await fleet.troupe(['kill', run])
})

test('a signal that would end a wrapper: refused with what to write; --force sends it, and the exit names the person', async () => {
  const run = await launch(task('wrapped', ['bash', '-c', 'echo is ready; sleep 60; echo done']))
  await said(run, /is ready/g, 1)
  const refused = await fleet.troupe(['signal', run, 'USR1'])
  expect(refused.code).toBe(1)
  expect(refused.stderr).toContain('--force')
  expect((await fleet.json(['status', run])).state).toBe('running')
  expect((await fleet.troupe(['signal', run, 'USR1', '--force'])).code).toBe(0)
  expect((await fleet.troupe(['wait', run, '--timeout', '20s'])).code).toBe(138)
  expect((await fleet.json(['status', run])).workers[0].exit).toMatchObject({
    signal: 'SIGUSR1',
    killedBy: null,
    sentBy: expect.any(String),
  })
  expect((await fleet.troupe(['explain', run])).stdout).toContain('sent by')
})

test('torchrun 1x2: the first rank that says that it saved is its worker’s word, after its save', async () => {
  const stop = { grace: '40s', saved: { log: '^rank \\d SAVED$' } }
  const run = await launch(gang('1x2', '1.5', { stop }))
  await said(run, /is ready/g, 2)
  const { receipts } = await fleet.json(['stop', run])
  expect(receipts).toMatchObject([{ outcome: 'gone', save: 'yes' }])
  expect(receipts[0].saved.ms).toBeGreaterThanOrEqual(1500)
  const { workers } = await fleet.json(['status', run])
  expect(workers[0].saved).toEqual(receipts[0].saved)
  expect(workers[0].saved.at).toBeLessThanOrEqual(workers[0].exitedAt)
})
