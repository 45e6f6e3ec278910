/**
 * The shapes in which a host speaks of its forks: leases, starts, ends, and a spool as it is after the agent
 * died. Owns them for both sides: process/ says them, core/agent decides with them.
 */
import type { ForkSpec } from './launch/resolved.ts'
import type { Exit, LogOffsets, RankReport, Receipt, Saved } from './shapes.ts'

/** How a root ended, as its machine can tell it: the cause is the agent's to know. */
export type HostExit = Omit<Exit, 'killedBy'>

/** The two ends of a node's link to the bus. */
export interface LinkEnds {
  /** address of this end, as the kernel chose it */
  local: string
  /** address or name that the server says it listens on: `0.0.0.0` is every address of its machine */
  server: string
}

/** Leases and addresses of a prepared fork. */
export interface Prepared {
  ports: number[]
  rendezvousPort: number | null
  gpus: string[]
  cores: number[]
  host: string
  /** the interface that has this address; absent: none of this machine has it */
  interface?: string
  preparedAt: number
}

export interface Started {
  /** root process of the tree, the child of the shim; null when exec failed */
  pid: number | null
  startedAt: number
}

/** A signal of a person: how many got it, or who would have ended by it (then nobody got it). */
export interface SignalResult {
  reached: number
  fatal: string[]
}

export type HostEvent =
  | {
      what: 'exited'
      forkId: string
      exit: HostExit
      exitedAt: number
      fenced?: boolean
      stderrTail: string[]
      errorFile: string | null
    }
  /** nothing of the tree is left, or that can never be known (the shim was killed and no marker is found) */
  | { what: 'empty'; forkId: string; receipt: Omit<Receipt, 'ms'> }
  | { what: 'ranks'; forkId: string; ranks: RankReport[] }
  | { what: 'probe'; forkId: string; ready: boolean; reason: string | null }
  /** it said that it saved; null: some of its log cannot be read, so nobody knows */
  | { what: 'saved'; forkId: string; saved: Saved | null }

/** One fork as the spool tells it, after the agent itself died. */
export interface Recovered {
  spec: ForkSpec
  phase: 'prepared' | 'running' | 'exited' | 'gone' | 'cancelled'
  prepared: Prepared | null
  started: Started | null
  exit: (HostExit & { exitedAt: number; fenced?: boolean }) | null
  stderrTail: string[]
  errorFile: string | null
  receipt: Receipt | null
  ranks: RankReport[]
  /**
   * what the agent itself wrote down (who ordered the end, which events are acknowledged): an opaque small
   * JSON
   */
  notes: Record<string, unknown>
  logsFinal: LogOffsets | null
  /** there when `watchSaved` was asked for and its log could be read: null is not yet, or no */
  saved?: Saved | null
}
