/**
 * What a measurement is and what it gives. Owns the shapes alone: one file for each measurement, floors.ts
 * for what stands beside, report.ts for the table.
 */
import type { Teardown } from './teardown.ts'

/** p99 is null where so many were not measured; n is how many were. */
export interface Figure {
  p50: number
  p99: number | null
  n: number
}

export type Unit = 'ms' | '1/s' | 'MiB/s' | 'MB'

/** What a figure is held against: the cheapest thing that could do the same, measured in the same run. */
export interface Beside extends Figure {
  what: string
  unit: Unit
}

export interface Row {
  what: string
  unit: Unit
  figure: Figure
  /** the first is the one that `ratio` is against */
  beside: Beside[]
  /** figure.p50 / beside[0].p50: of a time how much longer, of a rate how much of it */
  ratio: number | null
  /** DESIGN.md section 12; null where it has none */
  aim: { text: string; met: boolean } | null
  notes: string[]
}

export interface Bench {
  /** the checkout */
  root: string
  /** where the bundles of this run are: bench programs that are processes of their own */
  programs: string
  /** a few repetitions, to see that it runs */
  quick: boolean
  /** of a soak, asked for; null: a short one */
  minutes: number | null
  teardown: Teardown
  /** progress, for people */
  say(line: string): void
}

export interface Measurement {
  /** for `--only` */
  name: string
  run(bench: Bench): Promise<Row[]>
}

export function rowOf(row: Omit<Row, 'ratio' | 'notes' | 'aim'> & Partial<Pick<Row, 'notes' | 'aim'>>): Row {
  const [floor] = row.beside
  return {
    notes: [],
    aim: null,
    ...row,
    ratio: floor !== undefined && floor.unit === row.unit ? row.figure.p50 / floor.p50 : null,
  }
}
