import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { wasOomKilled } from '../../../src/process/oom.ts'
import { removeDirectory, temporaryDirectory } from '../../support/linux-host.ts'

const directory = temporaryDirectory()
afterAll(() => removeDirectory(directory))
function cgroupWith(name: string, events: string): string {
  mkdirSync(join(directory, name))
  writeFileSync(join(directory, name, 'memory.events'), events)
  return join(directory, name)
}

test('the cgroup counts: its word decides, whatever the machine says', () => {
  expect(wasOomKilled(cgroupWith('yes', 'oom 1\noom_kill 1\n'), 5, () => 5)).toBe(true)
  expect(wasOomKilled(cgroupWith('no', 'oom 0\noom_kill 0\n'), 5, () => 6)).toBe(false)
})

test('the machine counted none meanwhile: it was not that; it counted some: nobody knows', () => {
  expect(wasOomKilled(null, 5, () => 5)).toBe(false)
  expect(wasOomKilled(null, 5, () => 6)).toBeNull()
  expect(wasOomKilled(join(directory, 'no controller'), 5, () => 6)).toBeNull()
})

test('the machine does not count: nobody knows', () => {
  expect(wasOomKilled(null, null, () => null)).toBeNull()
})
