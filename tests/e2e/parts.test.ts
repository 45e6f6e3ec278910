/**
 * Agent, coordinator and nats-server each killed with -9 in the real two-node training, at three points that
 * are found by event. What must hold whatever died: true exit codes, one `started` per fork id, logs that are
 * the file's bytes, nothing left.
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connect } from '../../src/index.ts'
import { alive, root, spooledLogs, startFleet, until, type Fleet } from '../support/fleet.ts'

let fleet: Fleet
beforeAll(async () => {
  fleet = await startFleet({ agents: 2 })
})
afterAll(() => fleet.end())

function sha256(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex')
}

async function launch(name: string, epochs = 3): Promise<string> {
  const command = JSON.stringify(['digits/train.py', '--epochs', String(epochs), '--pause', '0.2'])
  const launched = await fleet.troupe([
    'launch',
    '-q',
    '-f',
    join(root, 'examples/two-node-ddp.yaml'),
    '--set',
    `name=${name}`,
    '--set',
    `roles.trainer.command=${command}`,
  ])
  expect(launched.code, launched.stderr).toBe(0)
  return launched.stdout.trim()
}

/** Follow a command's lines until one fits; a bounded wait for an event. */
async function line(args: string[], fits: (text: string) => boolean): Promise<void> {
  const child = fleet.start(args)
  const timer = setTimeout(() => child.kill('SIGKILL'), 90_000)
  try {
    for await (const text of createInterface({ input: child.stdout! })) if (fits(text)) return
    throw new Error(`${args.join(' ')} ended without it: ${child.output().stderr}`)
  } finally {
    clearTimeout(timer)
    child.kill('SIGKILL')
  }
}

function event(run: string, fits: (event: Record<string, any>) => boolean): Promise<void> {
  return line(['events', run, '-f', '--json'], (text) => fits(JSON.parse(text)))
}

const POINTS: Record<string, (run: string) => Promise<void>> = {
  'a trainer is prepared': (run) => event(run, (e) => e['what'] === 'prepared' && e['role'] === 'trainer'),
  'the first epoch is logged': (run) =>
    line(['logs', run, '-f'], (text) => text.includes('epoch 1: mean loss')),
  'the run is stopping': (run) => event(run, (e) => e['what'] === 'stopping'),
}

const PARTS: Record<string, () => number> = {
  'the agent n1': () => fleet.info.pids.agents['n1']!,
  'the coordinator': () => fleet.info.pids.coordinator,
  'nats-server': () => fleet.info.pids.bus,
}

async function check(run: string): Promise<void> {
  const waited = await fleet.troupe(['wait', run, '--timeout', '150s'], { timeoutMs: 160_000 })
  const status = await fleet.json(['status', run])
  expect({
    code: waited.code,
    state: status.state,
    reason: status.reason,
    first: status.firstFailure,
  }).toMatchObject({ code: 0, state: 'succeeded', first: null })
  for (const worker of status.workers) {
    if (worker.role === 'trainer') expect(worker.exit).toMatchObject({ code: 0, signal: null, unknown: null })
    else expect(worker.exit).toMatchObject({ killedBy: { by: expect.any(String) }, unknown: null })
    expect(worker.receipt.outcome).toBe('gone')
    for (const rank of worker.ranks) {
      expect(rank.exit).toMatchObject({ code: 0, signal: null })
      expect(await alive(rank.pid)).toBe(false)
    }
    expect(await alive(worker.pid)).toBe(false)
  }
  const events = (await fleet.troupe(['events', run, '--json'])).stdout
    .trim()
    .split('\n')
    .map((text) => JSON.parse(text))
  const started = events.filter((e) => e.what === 'started').map((e) => e.forkId)
  expect(new Set(started).size).toBe(started.length)
  expect(events.filter((e) => e.what === 'ended')).toHaveLength(1)

  const files = await spooledLogs(fleet, run)
  const troupe = await connect({ home: fleet.home })
  let compared = 0
  try {
    for (const worker of status.workers)
      for (const [key, file] of files) {
        const [forkId, source] = key.split(' ') as [string, string]
        if (forkId !== worker.forkId) continue
        const rank = /^r(\d+)-/.exec(source)?.[1]
        const hash = createHash('sha256')
        for await (const item of troupe.logs(rank === undefined ? worker.worker : run, {
          raw: true,
          stream: source.endsWith('stdout') ? 'stdout' : 'stderr',
          ...(rank !== undefined && { rank: Number(rank) }),
        })) {
          expect(item.kind).toBe('chunk')
          if (item.kind === 'chunk') hash.update(item.bytes)
        }
        expect({ key, sha: hash.digest('hex') }).toEqual({ key, sha: sha256(await readFile(file)) })
        compared++
      }
  } finally {
    await troupe.close()
  }
  expect(compared).toBeGreaterThanOrEqual(6)
}

for (const [point, reach] of Object.entries(POINTS))
  for (const [part, pidOf] of Object.entries(PARTS))
    test(`${part} is killed with -9 when ${point}: the training goes on and every word about it is true [FC-3 FC-4 FC-5 U-13]`, async () => {
      const run = await launch('parts')
      await reach(run)
      process.kill(pidOf(), 'SIGKILL')
      await fleet.repair()
      await check(run)
    })

test('nats-server is frozen for 30 s in the training: everything runs on and catches up [FC-5 U-13]', async () => {
  const run = await launch('frozen')
  await POINTS['the first epoch is logged']!(run)
  const bus = fleet.info.pids.bus
  process.kill(bus, 'SIGSTOP')
  await new Promise((resolve) => setTimeout(resolve, 30_000))
  process.kill(bus, 'SIGCONT')
  await until('the coordinator serves again', async () => (await fleet.troupe(['ps'])).code === 0, 30_000)
  await check(run)
})
