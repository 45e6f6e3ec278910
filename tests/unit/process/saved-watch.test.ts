import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { beginSaving, resumeSaving, type SavedWatch } from '../../../src/process/saved-watch.ts'
import { fileOf } from '../../../src/process/spool.ts'
import type { Saved } from '../../../src/protocol/shapes.ts'

const BEGAN = 1_700_000_000_000
let forkDir: string
let logDir: string
let now: number
let told: (Saved | null)[]
let watches: SavedWatch[]
beforeEach(() => {
  forkDir = mkdtempSync(join(tmpdir(), 'troupe-saved-'))
  logDir = join(forkDir, 'logs')
  mkdirSync(logDir)
  for (const source of ['stdout', 'stderr']) writeFileSync(join(logDir, source), 'checkpoint saved\n')
  now = BEGAN
  told = []
  watches = []
})
afterEach(() => {
  for (const watch of watches) watch.stop()
  rmSync(forkDir, { recursive: true })
})

function input() {
  return {
    forkDir,
    logDir,
    pattern: 'checkpoint saved',
    wall: () => now,
    onSaved: (saved: Saved | null) => void told.push(saved),
  }
}
function keep<T extends SavedWatch | null>(watch: T): T {
  if (watch !== null) watches.push(watch)
  return watch
}
/** A line that was written so long after the stop began. */
function say(source: string, text: string, ms = 0): void {
  const file = join(logDir, source)
  appendFileSync(file, text)
  utimesSync(file, (BEGAN + ms) / 1000, (BEGAN + ms) / 1000)
}

test('a checkpoint of before the stop is not that of the stop', async () => {
  const watch = keep(beginSaving(input()))
  await watch.settle(true)
  expect(watch.saved).toBeNull()
  expect(told).toEqual([])
})

test.each(['stdout', 'stderr', 'r0-stdout', 'r3-stderr', 'r1.2-stdout'])(
  'a line on %s: told once, with the time at which it was written',
  async (source) => {
    const watch = keep(beginSaving(input()))
    now = BEGAN + 5000
    say(source, 'checkpoint saved', 2000)
    await watch.settle(false)
    say(source, '\ncheckpoint saved\n', 4000)
    await watch.settle(true)
    expect(told).toEqual([{ at: BEGAN + 2000, ms: 2000 }])
    expect(watch.saved).toEqual(told[0])
  },
)

test('what is no log of the worker is not looked at', async () => {
  const watch = keep(beginSaving(input()))
  say('.marks', 'checkpoint saved\n')
  await watch.settle(true)
  expect(watch.saved).toBeNull()
})

test('it is found without that anybody asks, and while its program is busy', async () => {
  const found = new Promise<Saved | null>((resolve) => keep(beginSaving({ ...input(), onSaved: resolve })))
  say('stdout', 'step 1\ncheckpoint saved\nstep 2\n', 0)
  expect(await found).toEqual({ at: BEGAN, ms: 0 })
})

test('a second stop does not begin anew', async () => {
  keep(beginSaving(input()))
  say('stdout', 'checkpoint saved\n', 0)
  now = BEGAN + 1000
  const second = keep(beginSaving(input()))
  await second.settle(true)
  expect(second.saved).toEqual({ at: BEGAN, ms: 0 })
})

test('the agent after it goes on from the begin of the stop, and says what the one before found', async () => {
  expect(resumeSaving(input())).toBeNull()
  keep(beginSaving(input())).stop()
  say('stderr', 'checkpoint saved\n', 700)
  now = BEGAN + 60_000
  const next = keep(resumeSaving(input()))!
  await next.settle(false)
  expect(next.saved).toEqual({ at: BEGAN + 700, ms: 700 })
  expect(keep(resumeSaving(input()))!.saved).toEqual(next.saved)
  expect(told).toHaveLength(1)
})

test('its log was removed: nobody knows', async () => {
  rmSync(join(logDir, 'stdout'))
  const watch = keep(beginSaving(input()))
  await watch.settle(true)
  expect(watch.saved).toBeUndefined()
  expect(told).toEqual([null])
})

test('its directory was removed: it is found all the same', async () => {
  const watch = keep(beginSaving(input()))
  rmSync(fileOf.saving(forkDir))
  say('stdout', 'checkpoint saved\n')
  await watch.settle(true)
  expect(watch.saved).toEqual({ at: BEGAN, ms: 0 })
  expect(existsSync(fileOf.saving(forkDir))).toBe(true)
})
