/**
 * The Backend contract: where nodes come from. A backend starts node agents and tells when an allocation
 * ends; it never says "ready": an agent does, by joining on the bus. tests/contracts/backend.contract.ts is
 * the shared suite.
 */
import type { Launch } from '../protocol/launch/resolved.ts'

export interface Capabilities {
  /** brings nodes of its own (false: uses those on the bus) */
  allocates: boolean
  /** says when a node and its processes are gone for certain */
  provesGone: boolean
}

export interface Plan {
  backend: string
  /** what `--dry-run` prints, line by line */
  lines: string[]
  nodes: number
}

export type AllocationEnd =
  | { why: 'released' }
  | { why: 'ended'; text: string; processesGone: boolean }
  | { why: 'unknown'; word: string }

export interface Allocation {
  /** serialisable: `recover(handle)` gives the same allocation after a failover */
  readonly handle: Record<string, unknown>
  /** node names that may join from it; null: any */
  readonly nodes: readonly string[] | null
  status(): Promise<{ state: string; text: string }>
  /** idempotent */
  release(): Promise<void>
  /** resolves exactly once, never rejects */
  readonly ended: Promise<AllocationEnd>
}

export interface Backend {
  readonly name: string
  readonly capabilities: Capabilities
  /** pure */
  plan(launch: Launch): Plan
  allocate(plan: Plan, signal: AbortSignal): Promise<Allocation>
  recover(handle: Record<string, unknown>): Promise<Allocation>
  close(): Promise<void>
}
