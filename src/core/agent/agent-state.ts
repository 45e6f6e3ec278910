/**
 * The node agent's decisions, the vocabulary: its state, the events it hears and the commands it gives. The
 * rules stand in the files beside this one, each for one subject; step.ts dispatches. Pure: every tick (`at`)
 * comes in an event.
 *
 * The agent's truth is the spool. What is here is a view of it, rebuilt from `recovered` after the agent
 * died.
 */
import type { Cause } from '../../protocol/causes.ts'
import type { HostEvent, Prepared, Recovered, SignalResult, Started } from '../../protocol/host.ts'
import type { Bindings, ForkSpec } from '../../protocol/launch/resolved.ts'
import type {
  Epoch,
  Exit,
  ForkReport,
  LogOffsets,
  NodeCapacity,
  RankReport,
  Receipt,
  Saved,
  SentSignal,
} from '../../protocol/shapes.ts'
import type { FaultBody } from '../../protocol/faults.ts'
import type { BodyOf, OrderVerb, ReplyOf, WorkerWhat } from '../../protocol/table.ts'

export interface AgentSettings {
  beatMs: number
  /** how long a prepared fork that an earlier incarnation left is kept for a new prepare */
  prepareLapseMs: number
  /** workers are ended when no coordinator gave a sign of life for so long */
  orphanAfterMs: number
  /** how often the state log's tail is read: a sign of life, and the highest epoch */
  tailReadMs: number
  /** from the root's exit to the stop ladder for what is left of its tree */
  residueAfterMs: number
  /** a tree that SIGKILL did not empty is killed again after so long */
  killAgainMs: number
}

export const AGENT_DEFAULTS: AgentSettings = {
  beatMs: 500,
  prepareLapseMs: 30_000,
  orphanAfterMs: 24 * 3600 * 1000,
  tailReadMs: 30_000,
  residueAfterMs: 20,
  killAgainMs: 5000,
}

/** A stop that was ordered or decided; it only ever gets shorter. */
export interface Stop {
  /** null: the root ended by itself, this is for what is left of its tree */
  killedBy: Cause | null
  /** it was ordered when the root had ended by itself: it is not the cause of that */
  afterExit: boolean
  /** null: straight to SIGKILL */
  signal: string | null
  graceMs: number
  /** signals that were sent; further ones are the role's `stop.further` */
  sent: number
  /** the whole tree had the latest of them, not its root alone */
  toTree: boolean
  /** waiting: for the start to be known. noting: the spool is told who ordered it, before any signal */
  step: 'waiting' | 'noting' | 'pre-stop' | 'grace' | 'killing'
  /** tick of the first signal */
  since: number | null
  deadline: number | null
  /** a timer of an older one is stale */
  generation: number
}

export interface Fork {
  spec: ForkSpec
  /** `preparing` and a `cancelling` prepared fork are nobody's business yet: they are in no report */
  phase: 'preparing' | 'prepared' | 'starting' | 'running' | 'exited' | 'gone' | 'cancelled'
  token: string
  /** tick after which a prepared fork is dropped */
  lapseAt: number
  cancelling: boolean
  leases: Prepared | null
  start: Started | null
  /** tick at which this agent knew it running */
  runningSince: number | null
  ready: boolean
  readyReason: string | null
  everReady: boolean
  exit: Exit | null
  exitedAt: number | null
  exitedTick: number | null
  stderrTail: string[]
  errorFile: string | null
  receipt: Receipt | null
  ranks: RankReport[]
  logsFinal: LogOffsets | null
  startFault: string | null
  startFinal: boolean
  stop: Stop | null
  /** of persons, the latest last */
  signals: SentSignal[]
  /** null once it was told to stop, where its role has `stop.saved`; undefined also when nobody will know */
  saved: Saved | null | undefined
  /** facts that the event stream has acknowledged */
  acked: WorkerWhat[]
  released: boolean
  /** host events that came before the start was known */
  held: HostEvent[]
}

/** An order whose answer, the reports of `forks`, waits for what is `left`. */
export interface Waiting {
  left: Set<string>
  forks: string[]
  /** of a prepare */
  token: string | null
}

export interface AgentState {
  readonly node: string
  readonly incarnation: string
  readonly pid: number
  readonly settings: AgentSettings
  capacity: NodeCapacity | null
  phase: 'recovering' | 'joining' | 'serving' | 'ended'
  /** the highest that was seen */
  epoch: Epoch | null
  /** somebody spoke for another store than ours */
  storeRefused: boolean
  leaving: boolean
  rev: number
  tokens: number
  forks: Map<string, Fork>
  /** of all forks, at most */
  lastWordsBytes: number
  waiting: Map<number, Waiting>
  /** last sequence seen at the state log's tail */
  tailSeq: number
  /** tick of the last sign of life of a coordinator */
  coordinatorAt: number
  /** tick at which the last acknowledged round trip was sent */
  contactAt: number
  nextTailReadAt: number
  tailReading: boolean
}

export type Order = { [V in OrderVerb]: { verb: V; body: BodyOf<`node.${V}`> } }[OrderVerb]
export type OrderReply = ReplyOf<`node.${OrderVerb}`>

export type AgentTimer =
  | { kind: 'lapse'; token: string }
  | { kind: 'grace'; forkId: string; generation: number }
  | { kind: 'residue'; forkId: string }
  | { kind: 'kill-again'; forkId: string }
  | { kind: 'ready'; forkId: string }
  | { kind: 'read-tail' }

export type AgentEvent =
  | { type: 'recovered'; forks: Recovered[]; capacity: NodeCapacity; epoch: Epoch | null; at: number }
  /** the addresses may be others now */
  | { type: 'capacity'; capacity: NodeCapacity }
  | { type: 'tail'; epoch: Epoch | null; seq: number; at: number }
  | { type: 'tail-unreadable'; at: number }
  | { type: 'order'; order: number; request: Order; epoch: Epoch | null; notAfter: number | null; at: number }
  | {
      type: 'prepared'
      token: string
      forkIds: string[]
      leases: Prepared[] | null
      fault: FaultBody | null
      at: number
    }
  | { type: 'started'; forkId: string; start: Started | null; fault: FaultBody | null; at: number }
  | { type: 'cancelled'; forkId: string; proven: boolean; fault: FaultBody | null; at: number }
  | { type: 'noted'; forkId: string; at: number }
  | { type: 'pre-stopped'; forkId: string; at: number }
  | { type: 'tree-killed'; forkId: string; at: number }
  | { type: 'signalled'; order: number; forkId: string; sent: SentSignal; result: SignalResult }
  | { type: 'remembered'; order: number }
  | { type: 'host'; event: HostEvent; at: number }
  | { type: 'fact-acked'; forkId: string; what: WorkerWhat }
  | { type: 'logs-final'; forkId: string; offsets: LogOffsets }
  | { type: 'health'; order: number; run: string; role: string; index: number }
  | { type: 'tick'; at: number; loopLagMs: number }
  | { type: 'round-trip'; sentAt: number }
  | { type: 'resync'; at: number }
  | { type: 'timer'; timer: AgentTimer; at: number }
  | { type: 'leave'; at: number }
  | { type: 'superseded' }

export type AgentCommand =
  | { type: 'reply'; order: number; body: OrderReply }
  | { type: 'fault'; order: number; fault: FaultBody }
  | { type: 'prepare'; token: string; specs: ForkSpec[] }
  | { type: 'drop'; forkId: string }
  | { type: 'start'; forkId: string; bindings: Bindings }
  | { type: 'cancel'; forkId: string }
  /** with `told` the agent hears `noted` when it stands */
  | { type: 'note'; forkId: string; notes: Record<string, unknown>; told: boolean }
  | { type: 'pre-stop'; forkId: string }
  | { type: 'watch-saved'; forkId: string }
  | { type: 'signal-tree'; forkId: string; signal: string }
  | { type: 'signal-root'; forkId: string; signal: string }
  | { type: 'signal-one'; order: number; forkId: string; sent: SentSignal; force: boolean }
  | { type: 'kill-tree'; forkId: string }
  | { type: 'release'; forkId: string }
  | { type: 'fact'; id: string; what: WorkerWhat; rev: number; report: ForkReport }
  | { type: 'ship-logs'; forkId: string }
  | { type: 'finish-logs'; forkId: string }
  /** answer `worker.log` (and `worker.health`, while the fork is known) for this fork, or no more */
  | { type: 'serve'; forkId: string }
  | { type: 'unserve'; forkId: string; logsToo: boolean }
  | { type: 'health'; order: number; report: ForkReport }
  | {
      type: 'beat'
      tick: number
      rev: number
      loopLagMs: number
      epoch: Epoch | null
      storeRefused: boolean
      leaving: boolean
    }
  | { type: 'remember'; epoch: Epoch; order: number | null }
  | { type: 'read-tail' }
  | { type: 'round-trip' }
  | { type: 'join' }
  | { type: 'timer'; afterMs: number; timer: AgentTimer }
  | { type: 'end'; why: 'stopped' | 'superseded' }

/** Where a rule puts its commands, in order. */
export type Out = AgentCommand[]

export function newAgent(options: {
  node: string
  incarnation: string
  pid: number
  settings: AgentSettings
}): AgentState {
  return {
    ...options,
    capacity: null,
    phase: 'recovering',
    epoch: null,
    storeRefused: false,
    leaving: false,
    rev: 0,
    tokens: 0,
    forks: new Map(),
    lastWordsBytes: 0,
    waiting: new Map(),
    tailSeq: 0,
    coordinatorAt: 0,
    contactAt: 0,
    nextTailReadAt: 0,
    tailReading: false,
  }
}

export function newFork(spec: Fork['spec']): Fork {
  return {
    spec,
    phase: 'preparing',
    token: '',
    lapseAt: 0,
    cancelling: false,
    leases: null,
    start: null,
    runningSince: null,
    ready: false,
    readyReason: null,
    everReady: false,
    exit: null,
    exitedAt: null,
    exitedTick: null,
    stderrTail: [],
    errorFile: null,
    receipt: null,
    ranks: [],
    logsFinal: null,
    startFault: null,
    startFinal: false,
    stop: null,
    signals: [],
    saved: undefined,
    acked: [],
    released: false,
    held: [],
  }
}
