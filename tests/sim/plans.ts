/** The shape of one seed: data alone; world.ts plays it. */

export interface LaunchPlan {
  at: number
  door: 'request' | 'durable'
  /** null: the durable door makes one */
  key: string | null
  document: Record<string, unknown>
}

export interface AskPlan {
  at: number
  /** index of the launch */
  launch: number
  verb: 'stop' | 'kill' | 'signal'
  role?: string
  index?: number
}

/** Which effects a kill -9 falls before; `any`: the next one, whatever it is. */
export type CrashPoint =
  | 'any'
  | 'prepare'
  | 'start'
  | 'kill'
  | 'release'
  | 'respond'
  | 'state'
  | 'queue-ack'
  | 'host.prepare'
  | 'host.start'
  | 'host.note'
  | 'host.kill'
  | 'event'
  | 'log'

export type FaultPlan = { at: number } & (
  | { kind: 'crash-coordinator'; slot: number | 'leader'; before: CrashPoint; skip: number; forMs: number }
  | { kind: 'crash-agent'; node: number; before: CrashPoint; skip: number; forMs: number }
  | { kind: 'freeze-coordinator'; slot: number | 'leader'; writing: boolean; forMs: number }
  | { kind: 'freeze-agent'; node: number; forMs: number }
  | { kind: 'cut-coordinator'; slot: number | 'leader'; forMs: number }
  | { kind: 'cut-agent'; node: number; logs: boolean; forMs: number }
  | { kind: 'twin'; node: number }
  | { kind: 'reset-store' }
  /** each append of the server takes so long */
  | { kind: 'slow-disk'; appendMs: number; forMs: number }
  /** the server refuses every append */
  | { kind: 'full-disk'; forMs: number }
  /** no coordinator at all, for longer than orphans may live */
  | { kind: 'no-coordinator'; forMs: number }
)

export interface Scenario {
  seed: number
  nodes: number
  coordinators: number
  launches: LaunchPlan[]
  asks: AskPlan[]
  /** probabilities per hop or call, until `calmAt` */
  noise: { loss: number; copy: number; late: number; ackLost: number; callLost: number }
  faults: FaultPlan[]
  /** a coordinator that does not know that it was deposed sends on: its last orders, with a good time */
  ghosts: boolean
  /** somebody asks for the list all the time */
  watched: boolean
  /** workers end when no coordinator gave a sign of life for so long; null: the default of a day */
  orphanAfterMs: number | null
  /** faults end, everything that is down comes back */
  calmAt: number
}
