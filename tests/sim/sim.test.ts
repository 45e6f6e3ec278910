/**
 * Whole fleets with faults, seed by seed; `npm run sim` is the same with words, `npm run sim -- --seed N`
 * replays one.
 */
import { expect, test } from 'vitest'
import { countSituations, NAMED, RARE, SEEDS, simulate } from '../../scripts/sim.mjs'

function told(results: Awaited<ReturnType<typeof simulate>>['results']): string[] {
  return results.flatMap(({ seed, violations }) =>
    violations.map(({ invariant, text }) => `seed ${seed}: ${invariant}: ${text}`),
  )
}

test(`${SEEDS} fleets under seeded faults keep every invariant, and each named situation is in at least ${RARE} of them`, async () => {
  const { results } = await simulate()
  expect(results).toHaveLength(SEEDS)
  expect(told(results)).toEqual([])
  expect([...countSituations(results, NAMED)].filter(([, count]) => count < RARE)).toEqual([])
}, 600_000)

test('the same seed gives the same history, line by line', async () => {
  const trace = async (): Promise<string[]> => {
    const lines: string[] = []
    await simulate({ from: 17, seeds: 1, trace: true, onLine: (line) => lines.push(line) })
    return lines
  }
  const [once, again] = [await trace(), await trace()]
  expect(once.length).toBeGreaterThan(100)
  expect(again).toEqual(once)
}, 60_000)
