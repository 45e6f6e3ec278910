/** A fleet under garbage, for seconds here; `npm run fuzz` does it for a minute and writes a report. */
import { writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startFleet, task, type Fleet } from '../support/fleet.ts'
import { fuzz, strangeEvents } from '../support/fuzz.ts'

const SECONDS = Number(process.env['TROUPE_FUZZ_SECONDS'] ?? 5)
const SEED = Number(process.env['TROUPE_FUZZ_SEED'] ?? 1)
const RESULTS = process.env['TROUPE_FUZZ_RESULTS']
const ANSWER_MS = 10_000

let fleet: Fleet
beforeAll(async () => void (fleet = await startFleet()))
afterAll(() => fleet.end())

async function launched(document: string): Promise<string> {
  const { code, stdout, stderr } = await fleet.troupe(['launch', '-q', '-f', '-'], { input: document })
  expect(code, stderr).toBe(0)
  return stdout.trim()
}

async function workerOf(run: string): Promise<{ pid: number; state: string; attempt: number }> {
  const { workers } = await fleet.json<{ workers: { pid: number; state: string; attempt: number }[] }>([
    'status',
    run,
  ])
  const { pid, state, attempt } = workers[0]!
  return { pid, state, attempt }
}

test(
  'garbage on every subject that each role may reach leaves the fleet, its runs and its events as they were',
  async () => {
    const run = await launched(
      task('steady', ['sh', '-c', 'while :; do echo tick; sleep 0.2; done'], { kind: 'service' }),
    )
    expect((await fleet.troupe(['wait', run, '--for', 'ready', '--timeout', '20s'])).code).toBe(0)
    const before = await workerOf(run)
    const { pids } = fleet.info

    const result = await fuzz(fleet, run, SECONDS, SEED)
    if (RESULTS !== undefined) await writeFile(RESULTS, JSON.stringify(result))

    expect((await fleet.repair()).pids, 'the same processes').toEqual(pids)
    expect(await workerOf(run)).toEqual(before)
    const logged = (await fleet.troupe(['logs', run])).stdout.split('\n').filter((line) => line !== '')
    expect(logged.filter((line) => !line.endsWith('tick'))).toEqual([])
    expect(logged.length).toBeGreaterThan(SECONDS)
    const next = await fleet.troupe(['run', '-f', '-'], { input: task('next', ['sh', '-c', 'exit 7']) })
    expect(next.code, next.stderr).toBe(7)
    const events = (await fleet.troupe(['events', '--json'])).stdout.split('\n').filter((line) => line !== '')
    expect(events.length).toBeGreaterThan(2)
    expect(strangeEvents(events)).toEqual([])
    expect(result.slowestMs.coordinator).toBeLessThan(ANSWER_MS)
    expect(result.slowestMs.agent).toBeLessThan(ANSWER_MS)
    // the bounds in ARCHITECTURE.md
    expect(result.memory.coordinator).toBeLessThan(512)
    expect(result.memory.agent).toBeLessThan(256)
    expect((await fleet.troupe(['stop', run])).code).toBe(0)
  },
  (SECONDS + 80) * 1000,
)
