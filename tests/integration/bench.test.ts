/**
 * The harness of bench/, once, over a real fleet. It says that measuring works; how fast anything is, is
 * never asserted in a test.
 */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Report } from '../../bench/report.ts'
import { root, run } from '../support/fleet.ts'

test('a quick bench of one measurement gives figures above zero, each with what stands beside it', async () => {
  const { code, stdout, stderr } = await run(
    process.execPath,
    [join(root, 'scripts/bench.mjs'), '--quick', '--json', '--only', 'launch'],
    { timeoutMs: 80_000 },
  )
  expect(code, stderr).toBe(0)
  const { rows, failed } = JSON.parse(stdout) as Report
  expect(failed).toEqual([])
  expect(rows.map((row) => row.what)).toContain('launch request → pid reported')
  for (const { figure, beside, ratio } of rows) {
    expect(beside.length).toBeGreaterThan(0)
    for (const value of [ratio, figure.p50, figure.n, ...beside.map((one) => one.p50)]) {
      expect(value).toBeGreaterThan(0)
      expect(Number.isFinite(value)).toBe(true)
    }
  }
})

test('an unknown measurement is refused with the names of those that there are', async () => {
  const { code, stdout, stderr } = await run(process.execPath, [
    join(root, 'scripts/bench.mjs'),
    '--only',
    'lunch',
  ])
  expect([code, stdout]).toEqual([2, ''])
  expect(stderr).toContain("'lunch'")
  expect(stderr).toContain('launch')
})
