/**
 * The shapes of the coordinator's state: durable records with what is known besides of them. The durable part
 * is rebuilt by the fold, the rest by inventories; a step owns all of it and changes it in place. Rules stand
 * in the files beside, each for one subject.
 */
import type { SignalRequest } from './signal-answers.ts'
import type { Cause } from '../../protocol/causes.ts'
import type { Bindings, Launch, Role } from '../../protocol/launch/resolved.ts'
import type { KeyRecord, RestartKind, RunRecord, StateOp, WorkerRecord } from '../../protocol/records.ts'
import type { Exit, ForkReport, NodeCapacity, RunState } from '../../protocol/shapes.ts'
import type { OrderVerb } from '../../protocol/table.ts'
import type { CoordinatorCommand, Times } from './messages.ts'
import type { Places } from './places.ts'
import type { CoordinatorSettings } from './settings.ts'
import type { WaitQueue } from './wait-queue.ts'

/**
 * Where a worker's latest attempt is; each worker counts in exactly one. `ready` is running and ready;
 * `exited` has its root gone and its tree perhaps not; `ended`: nothing of it runs or will.
 */
export type Stage = 'waiting' | 'placed' | 'prepared' | 'started' | 'ready' | 'exited' | 'ended'

/** What is in STATE of a run besides its workers: update.ts alone changes it. */
type RunHead = { readonly [K in keyof Omit<RunRecord, 'workers'>]: Readonly<RunRecord[K]> }

/** What is readonly here is changed by update.ts alone: more follows from it than its value. */
export interface Worker {
  readonly run: Run
  readonly role: RoleLive
  readonly record: Readonly<WorkerRecord>
  readonly id: string
  /** all of one attempt that its agent said last; null before */
  readonly report: ForkReport | null
  /** grace of a stop aimed at it alone; null: the role's */
  readonly graceMs: number | null
  /** its node's spool does not know a fork that had started */
  readonly spoolLost: boolean
  /** `rev` of the report, for facts that do not only move forward */
  rev: number
  gang: Gang | null
  token: string | null
  /** a start may have left for its agent; unknown (true) after a failover */
  startSent: boolean
  /** the answer of one of its starts is not known */
  startUnsure: boolean
  /** order that is out, and when the last one left (monotonic) */
  order: { id: number; verb: OrderVerb; graceMs: number } | null
  orderedAt: number
  retryAt: number
  tries: number
  /** the stop that its agent has acknowledged: grace and incarnation */
  killAcked: { graceMs: number; incarnation: string } | null
  /** its end is in an entry: its agent may forget it once its logs are shipped */
  releasable: boolean
  /** fork of the attempt before, to be forgotten behind the entry that says so */
  past: { node: string; forkId: string } | null
  /** its exit has been judged */
  judged: boolean
  everReady: boolean
  /** told as lost, for its node's silence */
  lostTold: boolean
}

/** Workers of one role that are prepared and started together: all or none. */
export interface Gang {
  readonly role: RoleLive
  readonly workers: Worker[]
  /** not yet prepared, not yet started */
  unprepared: Set<Worker>
  unstarted: Set<Worker>
  /** addresses handed out with the first start, and their text; prepared again with others, it is void */
  bindings: { text: string; value: Bindings } | null
  /** somebody was prepared (again) since the addresses were looked at */
  recheck: boolean
  abort: Abort | null
  /** of an aborted one: so many of its workers, from the first on, are over */
  gone: number
}

export interface Abort {
  text: string
  /** exit code of the run when it is not tried again */
  code: number
  /**
   * again: with new ids, counted. elsewhere: its node went before anything started, not counted. busy: others
   * have what it needs, not counted. never: cannot work
   */
  retry: 'again' | 'elsewhere' | 'busy' | 'port' | 'never'
  blame: Worker | null
  exit: Exit | null
  at: number
}

/** What is started again, but for those of it that are `leaving`, once all of it is proven gone. */
export interface Restart {
  workers: Worker[]
  leaving?: readonly Worker[]
  backoffMs: number
  /** which of how many, where the role's policy counts it, and why */
  count: string | null
  failure: string
  kind: RestartKind
  by: Cause
}

export interface RoleLive {
  readonly run: Run
  readonly spec: Role
  readonly workers: Worker[]
  readonly counts: Readonly<Record<Stage, number>>
  /** roles that depend on this one */
  readonly dependents: RoleLive[]
  gangs: Set<Gang>
  /** the gang that gets its workers over several steps; nothing of it starts before it has them all */
  filling: Gang | null
  restart: Restart | null
  launchTries: number
  /** its node has leased what it needs to others that we do not count: what it said, and how often */
  busy: { text: string; tries: number } | null
  /**
   * its workers that were told to stop: which of them, and the index of the next one, from the last to the
   * first
   */
  stop: { pass: 'none' | 'unstarted' | 'stop' | 'kill'; next: number }
  /** a rank of this attempt has failed, and its torchrun has not ended yet */
  rankFailed: { at: number; by: Cause } | null
  /** a torchrun of it is gone, and since then the others have no rank that runs */
  ranksOverAt: number | null
}

export interface Run {
  readonly record: RunHead
  readonly spec: Launch
  readonly roles: RoleLive[]
  readonly byRole: Map<string, RoleLive>
  readonly workers: Worker[]
  /** workers about whom something has to be ordered or decided */
  readonly work: Set<Worker>
  /** root exits that nobody has judged yet */
  readonly exits: Set<Worker>
  /** workers whose records have changed since the last entry about them */
  readonly unwritten: Set<Worker>
  /** when the next entry about it is due: in this step, or soon; null: nothing has to be written */
  entry: 'now' | 'soon' | null
  /** earliest timer that is set, monotonic */
  wakeAt: number
  toldState: RunState | null
  toldReason: string | null
  /** numbers pending events of one state */
  told: number
  /** role that asked for the restart of the whole run, and the pause before it */
  restartRole: { role: RoleLive; backoffMs: number; count: string | null; failure: string } | null
  /** why it waits for a place */
  readonly placeReason: string | null
  /** its share of the fleet's `liveWorkers` */
  liveWorkers: number
  archiving: boolean
}

/** An inventory between its first page and its last. */
export interface InventoryAsked {
  /** order that asks for the next page */
  id: number
  /** when the first page was asked for */
  sentAt: number
  /** the node's count of facts at the first page; null before */
  rev: number | null
  /** forks on the pages so far */
  known: Set<string>
  /** unowned forks at the beginning: those that no page names are gone */
  unowned: Set<string>
}

export interface NodeLive {
  readonly name: string
  incarnation: string | null
  link: number
  pid: number
  capacity: NodeCapacity | null
  state: 'ready' | 'suspect' | 'lost'
  /** why it is not ready */
  reason: string | null
  /** the server or a failed order said that its connection is gone */
  evidence: boolean
  leaving: boolean
  /** its agent says so, for an allocation that is about to end */
  drainingItself: boolean
  storeRefused: boolean
  /** highest fact number heard without a gap before it */
  rev: number
  /** facts heard beyond a gap */
  ahead: Set<number>
  beatRev: number
  /** this incarnation has told everything since this coordinator leads */
  inventoried: boolean
  /** the inventory that is being read */
  inventory: InventoryAsked | null
  inventoryAt: number
  beatAt: number
  loopLagMs: number
  /** its wall clock less the coordinator's is within [lo, hi], ms; null: not measured */
  offset: { lo: number; hi: number } | null
  /** workers that are placed or have a place reserved here */
  readonly workers: Set<Worker>
  readonly used: { cpus: number; gpus: number; memoryBytes: number }
  /** nodes of the same machine that give out (some of) our GPUs, and how many: each is leased once */
  readonly gpuPeers: Map<NodeLive, number>
  /** devices that its last inventory named */
  gpuUuids: ReadonlySet<string>
  /** forks that nobody here knows: alarmed and listed, not reaped */
  readonly unowned: Map<string, { gpus: number; cpus: number }>
  /** forks to forget, and forks that must not run */
  readonly release: Set<string>
  readonly strays: Set<string>
  releaseOrder: number | null
  strayOrder: number | null
  retryAt: number
  tries: number
  /** something could not be started here: others first until then, monotonic */
  avoidUntil: number
}

export type OrderContext =
  | {
      verb: 'prepare' | 'start' | 'kill' | 'cancel'
      node: NodeLive
      incarnation: string
      workers: Worker[]
      attempts: number[]
      graces?: number[]
      sentAt: number
    }
  | { verb: 'release' | 'strays'; node: NodeLive; incarnation: string; forks: string[] }
  | { verb: 'inventory'; node: NodeLive; incarnation: string }
  | { verb: 'signal'; worker: string; request: SignalRequest }
  | { verb: 'adopt'; request: number; node: NodeLive }

export interface CoordinatorState {
  readonly settings: CoordinatorSettings
  readonly incarnation: string
  readonly storeId: string
  readonly runs: Map<string, Run>
  readonly keys: Map<string, KeyRecord>
  readonly fenced: Map<string, string>
  readonly drains: Set<string>
  readonly nodes: Map<string, NodeLive>
  /** nodes that are neither lost nor leaving, the one whose last beat is oldest first */
  readonly heard: Set<NodeLive>
  /** nodes that are lost or leaving, the oldest first */
  readonly away: Set<NodeLive>
  /** uuid of a GPU → the nodes that give it out */
  readonly gpuOwners: Map<string, Set<NodeLive>>
  readonly orders: Map<number, OrderContext>
  /** runs that are looked at in this step */
  readonly dirty: Set<Run>
  /** runs with facts that wait for an entry to share */
  readonly lazy: Set<Run>
  /** nodes that have something to forget or to end */
  readonly nodeWork: Set<NodeLive>
  /** runs that wait for a place */
  readonly queue: WaitQueue<Run>
  readonly places: Places
  /** nodes whose place has to be made anew */
  readonly stalePlaces: Set<NodeLive>
  /** nodes that are used last for a while */
  readonly avoided: Set<NodeLive>
  /** nodes that do not know this state store */
  readonly refusing: Set<NodeLive>
  /** workers that have not ended, of runs that have not */
  liveWorkers: number
  placeDue: boolean
  /** a step is ordered that goes on with what this one leaves, and with these runs */
  goingOn: boolean
  readonly rest: Set<Run>
  /** a run's facts wait for an entry to share */
  lazyTimer: boolean
  ended: Run[]
  counter: number
  ledAt: number
  /** since when the own link is up, monotonic; null: it is down */
  linkUpAt: number | null
  /** many fell silent at once: the bus is suspected, nobody is lost */
  frozen: boolean
  lastLiveAt: number
  ending: boolean
  /** what is known to be missing of the state log, in words */
  historyLost: string | null
}

/** One step's surroundings: the times, and where its commands go. Ops leave first, as one persist. */
export interface Ctx extends Times {
  readonly s: CoordinatorState
  /** workers, or runs, that this step may still decide on, and workers that it may still give orders to */
  left: number
  orders: number
  readonly ops: StateOp[]
  /** ops that must come after all runs: keys */
  readonly lateOps: StateOp[]
  readonly out: CoordinatorCommand[]
}
