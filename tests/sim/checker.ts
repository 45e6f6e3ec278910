/**
 * The invariants of DESIGN.md section 13 over one history: what the machines and the bus saw, never what an
 * actor believes. I6 needs tenants and is not here. Each rule is one pass over the facts and says what it
 * found with the time of it.
 */
import { bounded, converges, preparesLapse } from './invariants/bounds.ts'
import { trueEnds } from './invariants/ends.ts'
import type { Check, Ending } from './invariants/invariant.ts'
import { acceptedLaunches, intentBeforeOrder } from './invariants/launches.ts'
import { deposedHasNoEffect } from './invariants/leaders.ts'
import { logsAreTheFile } from './invariants/logs.ts'
import { goneIsGone, oneTree, orphansEnd } from './invariants/trees.ts'

export interface Violation {
  invariant: string
  at: number
  text: string
}

const CHECKS: readonly (readonly [string, Check])[] = [
  ['I1', acceptedLaunches],
  ['I1', intentBeforeOrder],
  ['I2', oneTree],
  ['I3', goneIsGone],
  ['I4', trueEnds],
  ['I5', logsAreTheFile],
  ['I7', bounded],
  ['I7', preparesLapse],
  ['I8', converges],
  ['I9', deposedHasNoEffect],
  ['I10', orphansEnd],
]

export function check(ending: Ending): Violation[] {
  const violations: Violation[] = []
  for (const [invariant, run] of CHECKS)
    run(ending, (at, text) => void violations.push({ invariant, at, text }))
  return violations
}
