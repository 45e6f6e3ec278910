/** The pause before a next try. */

export function backoff([first, most]: readonly [number, number], tries: number): number {
  return Math.min(most, first * 2 ** Math.min(tries, 16))
}
