/** What is kept of a request to signal while its orders are under way. */
import type { FaultBody } from '../../protocol/faults.ts'

/** A request to signal, until the agents have answered. */
export interface SignalRequest {
  readonly request: number
  left: number
  readonly workers: string[]
  readonly refused: { worker: string; fault: FaultBody }[]
}
