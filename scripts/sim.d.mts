/** Types of sim.mjs for the tests. */
export interface SeedResult {
  seed: number
  violations: { invariant: string; at: number; text: string }[]
  situations: string[]
  simulatedMs: number
}
export declare const SEEDS: number
export declare const RARE: number
export declare const NAMED: readonly string[]
export declare const simulate: (options?: {
  from?: number
  seeds?: number
  first?: boolean
  trace?: boolean
  workers?: number
  onLine?: (line: string) => void
  onResult?: (result: SeedResult) => void
}) => Promise<{ results: SeedResult[] }>
export declare const countSituations: (
  results: readonly SeedResult[],
  names: readonly string[],
) => Map<string, number>
