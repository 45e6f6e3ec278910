/** What all parts of one world share: its plan, its time, its bus and its history. */
import type { ManualClock } from '../../support/manual-clock.ts'
import type { MemoryServer } from '../../support/memory-bus/memory-bus.ts'
import type { Random } from '../../support/random.ts'
import type { History } from '../history.ts'
import type { Scenario } from '../plans.ts'
import type { Violation } from '../checker.ts'

export interface Stage {
  readonly scenario: Scenario
  readonly clock: ManualClock
  /** ms since the beginning */
  now(): number
  readonly random: Random
  /** of faults and of people */
  readonly strike: Random
  readonly server: MemoryServer
  readonly history: History
  /** actors that threw */
  readonly crashes: Violation[]
  /** faults have ended */
  calm: boolean
  /** incarnation of the coordinator that wrote STATE last */
  leader: string
  readonly trace: ((line: string) => void) | undefined
}
