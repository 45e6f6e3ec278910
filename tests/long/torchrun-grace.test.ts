/** Saves that take longer than the 30 s that torch gives by itself, in real time [torchrun-grace-30s]. */
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { root, startFleet, task, until, type Fleet } from '../support/fleet.ts'

let fleet: Fleet
beforeAll(async () => {
  fleet = await startFleet({ agents: 2 })
})
afterAll(() => fleet.end())

const once = join(root, 'tests/support/programs/stop_once.py')

test.each(['1x2', '2x1'])(
  'torchrun %s, a grace of 60 s, ranks that need 40 s: both save and end with 0',
  async (shape) => {
    const input = task('slow-save', [once, '40'], { kind: 'torchrun', shape, stop: { grace: '60s' } })
    const launched = await fleet.troupe(['launch', '-f', '-', '-q'], { input })
    expect(launched.code, launched.stderr).toBe(0)
    const run = launched.stdout.trim()
    const lines = async (pattern: RegExp) =>
      (await fleet.troupe(['logs', run])).stdout.match(pattern)?.toSorted() ?? []
    await until('both are ready', async () => (await lines(/is ready/g)).length === 2, 90_000)
    const began = performance.now()
    const stopped = await fleet.troupe(['stop', run, '--timeout', '120s'], { timeoutMs: 130_000 })
    const seconds = (performance.now() - began) / 1000
    expect(stopped.code, stopped.stderr).toBe(0)
    expect(await lines(/rank \d (got \w+|SAVED)/g)).toEqual([
      'rank 0 SAVED',
      'rank 0 got SIGTERM',
      'rank 1 SAVED',
      'rank 1 got SIGTERM',
    ])
    expect(seconds).toBeGreaterThanOrEqual(40)
    expect(seconds).toBeLessThan(60)
    const { workers } = await fleet.json(['status', run])
    for (const { ranks, receipt } of workers) {
      expect(receipt.outcome).toBe('gone')
      for (const { exit } of ranks) expect(exit).toMatchObject({ code: 0, signal: null })
    }
  },
)
