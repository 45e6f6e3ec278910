/** What every invariant is given, and how it reads the facts. */
import type { Fact, WorkerEventBody } from '../history.ts'
import type { TrueExit } from '../../support/sim-tree.ts'

export interface Ending {
  facts: readonly Fact[]
  /** everything ended before the world's patience did */
  converged: boolean
  prepareLapseMs: number
  /** what was still there, when not */
  left: readonly string[]
  /** the true size of a fork's log */
  sizeOf(forkId: string): number
  /**
   * most timers that waited at once, messages left in STATE, questions that the bus still keeps at the end
   */
  bounds: { timers: number; stateEntries: number; stateEntriesMax: number; inboxes: number }
}

export type Check = (ending: Ending, found: (at: number, text: string) => void) => void

export function workerOf(forkId: string): string {
  return forkId.slice(0, forkId.lastIndexOf('.'))
}

export function sameExit(a: TrueExit, b: { code: number | null; signal: string | null }): boolean {
  return a.code === b.code && a.signal === b.signal
}

export function isWorkerEvent(
  fact: Fact,
): fact is Extract<Fact, { kind: 'event' }> & { body: WorkerEventBody } {
  return fact.kind === 'event' && 'forkId' in fact.body && 'phase' in fact.body
}

export function resetIn(facts: readonly Fact[]): number {
  return facts.find((fact) => fact.kind === 'store-reset')?.at ?? Infinity
}
