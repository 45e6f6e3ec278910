/** Medians and percentiles of what was measured, by the nearest rank. */
import type { Figure } from './measure.ts'

/** @param p  0 to 1 */
export function percentile(values: readonly number[], p: number): number {
  if (values.length === 0) throw new Error('nothing was measured')
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)]!
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5)
}

/** Below it a p99 would only be the worst one. */
const P99_FROM = 20

/** The p99 is the bad end: of a rate, the slow one is p50 alone. */
export function figureOf(values: readonly number[]): Figure {
  return {
    p50: median(values),
    p99: values.length >= P99_FROM ? percentile(values, 0.99) : null,
    n: values.length,
  }
}

/** ms of one asynchronous thing */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}

/** `times` runs of one thing, one after the other, ms each; `warm` more before them do not count. */
export async function repeat(
  times: number,
  work: (i: number) => Promise<number>,
  warm = 0,
): Promise<number[]> {
  const values: number[] = []
  for (let i = -warm; i < times; i++) {
    const value = await work(i)
    if (i >= 0) values.push(value)
  }
  return values
}
