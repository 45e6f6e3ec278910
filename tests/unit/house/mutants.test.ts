/** A suite that has moved would be found by a full run of the mutants alone, minutes later. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const DIR = 'tests/sim/mutants'

test('each mutant names the simulation, or a suite that is there', () => {
  const patches = readdirSync(DIR).filter((file) => file.endsWith('.patch'))
  expect(patches.length).toBeGreaterThan(0)
  const suites = patches.map((patch) => /^# suite: (\S+)$/m.exec(readFileSync(join(DIR, patch), 'utf8'))?.[1])
  expect(suites.filter((suite) => suite !== 'sim' && !existsSync(suite ?? ''))).toEqual([])
})
