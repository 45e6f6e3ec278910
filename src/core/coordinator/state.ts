/**
 * The coordinator's state: durable records with what is known besides of them. The durable part is rebuilt by
 * the fold, the rest by inventories; a step owns all of it and changes it in place. Rules stand in the files
 * beside, each for one subject.
 */
import type { Cause } from '../../protocol/causes.ts'
import type { KeyRecord, RestartKind, RoleRecord, RunRecord, WorkerRecord } from '../../protocol/records.ts'
import type { Bindings, Launch, Role } from '../../protocol/launch/resolved.ts'
import type { Exit, ForkReport, NodeCapacity, Receipt, RunState } from '../../protocol/shapes.ts'
import type { Durable } from './fold.ts'
import { workerKey } from './fold.ts'
import { specOf } from './spec-parts.ts'
import type { OrderVerb } from '../../protocol/table.ts'
import type { CoordinatorCommand, Times } from './messages.ts'
import { newPlaces, type Places } from './places.ts'
import type { CoordinatorSettings } from './settings.ts'
import { newWaitQueue, type WaitQueue } from './wait-queue.ts'

/**
 * Where a worker's latest attempt is; each worker counts in exactly one. `ready` is running and ready;
 * `exited` has its root gone and its tree perhaps not; `ended`: nothing of it runs or will.
 */
const STAGES = ['waiting', 'placed', 'prepared', 'started', 'ready', 'exited', 'ended'] as const
export type Stage = (typeof STAGES)[number]

export interface Worker {
  readonly run: Run
  readonly role: RoleLive
  readonly record: WorkerRecord
  readonly id: string
  /** all of one attempt that its agent said last; null before */
  report: ForkReport | null
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
  /** grace of a stop aimed at it alone; null: the role's */
  graceMs: number | null
  /** its node's spool does not know a fork that had started */
  spoolLost: boolean
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
  /**
   * addresses that were handed out with the first start, and their text; prepared again with others, the
   * attempt is void
   */
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

export interface RoleLive {
  readonly run: Run
  readonly spec: Role
  readonly workers: Worker[]
  readonly counts: Record<Stage, number>
  /** roles that depend on this one */
  readonly dependents: RoleLive[]
  gangs: Set<Gang>
  /** the gang that gets its workers over several steps; nothing of it starts before it has them all */
  filling: Gang | null
  /** a restart that has been decided and waits until what it replaces is gone */
  restart: { workers: Worker[]; backoffMs: number; text: string; kind: RestartKind; by: Cause } | null
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
}

export interface Run {
  readonly record: RunRecord
  readonly spec: Launch
  readonly roles: RoleLive[]
  readonly byRole: Map<string, RoleLive>
  readonly workers: Worker[]
  /** workers about whom something has to be ordered or decided */
  readonly work: Set<Worker>
  /** root exits that nobody has judged yet */
  readonly exits: Set<Worker>
  readonly dirtyWorkers: Set<Worker>
  /** an entry has to be written in this step */
  urgent: boolean
  /** earliest timer that is set, monotonic */
  wakeAt: number
  toldState: RunState | null
  toldReason: string | null
  /** numbers pending events of one state */
  told: number
  /** role that asked for the restart of the whole run, and the pause before it */
  restartRole: { role: RoleLive; backoffMs: number } | null
  /** why it waits for a place */
  placeReason: string | null
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
  pid: number
  capacity: NodeCapacity | null
  state: 'ready' | 'suspect' | 'lost'
  /** why it is not ready */
  reason: string | null
  /** the server or a failed order said that its connection is gone */
  evidence: boolean
  leaving: boolean
  drainingItself: boolean
  storeRefused: boolean
  /** highest fact number heard without a gap before it */
  rev: number
  /** facts heard beyond a gap */
  ahead: Set<number>
  /** revision that its last beat named */
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
  /**
   * nodes of the same machine that give out the same GPUs, and how many of ours those are: each GPU is leased
   * once
   */
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
  | { verb: 'signal' }
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
  readonly ops: import('../../protocol/records.ts').StateOp[]
  /** ops that must come after all runs: keys */
  readonly lateOps: import('../../protocol/records.ts').StateOp[]
  readonly out: CoordinatorCommand[]
}

export function contextOf(s: CoordinatorState, { now, wall }: Times): Ctx {
  const { stepWorkersMax } = s.settings
  return { s, now, wall, left: stepWorkersMax, orders: stepWorkersMax, ops: [], lateOps: [], out: [] }
}

export function newState(options: {
  settings: CoordinatorSettings
  incarnation: string
  storeId: string
  durable: Durable
}): CoordinatorState {
  const { durable, settings, incarnation, storeId } = options
  const s: CoordinatorState = {
    settings,
    incarnation,
    storeId,
    runs: new Map(),
    keys: new Map(durable.keys),
    fenced: new Map(durable.fenced),
    drains: new Set(durable.drains),
    nodes: new Map(),
    heard: new Set(),
    away: new Set(),
    gpuOwners: new Map(),
    orders: new Map(),
    dirty: new Set(),
    lazy: new Set(),
    nodeWork: new Set(),
    queue: newWaitQueue(),
    places: newPlaces(),
    stalePlaces: new Set(),
    avoided: new Set(),
    placeDue: false,
    goingOn: false,
    rest: new Set(),
    lazyTimer: false,
    ended: [],
    counter: 0,
    ledAt: 0,
    linkUpAt: 0,
    frozen: false,
    lastLiveAt: 0,
    refusing: new Set(),
    liveWorkers: 0,
    ending: false,
    historyLost: null,
  }
  const folded = [...durable.runs.values()].toSorted((a, b) => a.head.acceptedAt - b.head.acceptedAt)
  for (const { head, workers } of folded) {
    const spec = specOf(durable.specs.get(head.run))
    const roles = durable.roles.get(head.run)
    if (spec === null || roles === undefined) continue
    s.runs.set(
      head.run,
      newRun(structuredClone(head), spec, [...roles.values()], (role, index) =>
        structuredClone(workers.get(workerKey(role, index))),
      ),
    )
  }
  return s
}

function waitingRecord(role: string, index: number): WorkerRecord {
  return {
    role,
    index,
    attempt: 0,
    node: null,
    incarnation: null,
    phase: 'waiting',
    ending: null,
    last: null,
  }
}

/** The workers that a launch begins with. */
export function rolesOf(spec: Launch): RoleRecord[] {
  return spec.roles.map(({ name, replicas }) => ({
    role: name,
    wanted: replicas,
    indices: [[0, replicas - 1]],
  }))
}

function* indicesOf(role: RoleRecord | undefined): Generator<number> {
  for (const [first, last] of role?.indices ?? []) for (let index = first; index <= last; index++) yield index
}

export function newRun(
  head: Omit<RunRecord, 'workers'>,
  spec: Launch,
  roles: readonly RoleRecord[],
  recordOf: (role: string, index: number) => WorkerRecord | undefined,
): Run {
  const run: Run = {
    record: { ...head, workers: [] },
    spec,
    roles: [],
    byRole: new Map(),
    workers: [],
    work: new Set(),
    exits: new Set(),
    dirtyWorkers: new Set(),
    urgent: false,
    wakeAt: Infinity,
    toldState: null,
    toldReason: null,
    told: 0,
    restartRole: null,
    placeReason: null,
    liveWorkers: 0,
    archiving: false,
  }
  for (const roleSpec of spec.roles) {
    const role: RoleLive = {
      run,
      spec: roleSpec,
      workers: [],
      counts: { waiting: 0, placed: 0, prepared: 0, started: 0, ready: 0, exited: 0, ended: 0 },
      dependents: [],
      gangs: new Set(),
      filling: null,
      restart: null,
      launchTries: 0,
      busy: null,
      stop: { pass: 'none', next: -1 },
      rankFailed: null,
    }
    for (const index of indicesOf(roles.find((one) => one.role === roleSpec.name))) {
      const worker = newWorker(
        run,
        role,
        recordOf(roleSpec.name, index) ?? waitingRecord(roleSpec.name, index),
      )
      role.workers.push(worker)
      run.workers.push(worker)
      run.record.workers.push(worker.record)
      role.counts[stageOf(worker)]++
    }
    run.roles.push(role)
    run.byRole.set(roleSpec.name, role)
  }
  for (const role of run.roles)
    for (const { role: on } of role.spec.dependsOn) run.byRole.get(on)?.dependents.push(role)
  return run
}

function newWorker(run: Run, role: RoleLive, record: WorkerRecord): Worker {
  return {
    run,
    role,
    record,
    id: `${run.record.run}/${record.role}/${record.index}`,
    report: null,
    rev: -1,
    gang: null,
    token: null,
    startSent: true,
    startUnsure: true,
    order: null,
    orderedAt: 0,
    retryAt: 0,
    tries: 0,
    killAcked: null,
    graceMs: null,
    spoolLost: false,
    releasable: record.phase === 'ended',
    past: null,
    judged: false,
    everReady: false,
    lostTold: false,
  }
}

function newNode(name: string, now: number): NodeLive {
  return {
    name,
    incarnation: null,
    pid: 0,
    capacity: null,
    state: 'suspect',
    reason: 'not heard since this coordinator leads',
    evidence: false,
    leaving: false,
    drainingItself: false,
    storeRefused: false,
    rev: 0,
    ahead: new Set(),
    beatRev: 0,
    inventoried: false,
    inventory: null,
    inventoryAt: -Infinity,
    beatAt: now,
    loopLagMs: 0,
    offset: null,
    workers: new Set(),
    used: { cpus: 0, gpus: 0, memoryBytes: 0 },
    gpuPeers: new Map(),
    gpuUuids: new Set(),
    unowned: new Map(),
    release: new Set(),
    strays: new Set(),
    releaseOrder: null,
    strayOrder: null,
    retryAt: 0,
    tries: 0,
    avoidUntil: 0,
  }
}

/** How far a fork has come; facts only move forward. */
const PHASE_ORDER = {
  prepared: 1,
  starting: 2,
  running: 3,
  stopping: 4,
  exited: 5,
  gone: 6,
  cancelled: 6,
} as const
export function phaseOrder(report: ForkReport): number {
  return PHASE_ORDER[report.phase]
}

export function stageOf(worker: Worker): Stage {
  const { record, report } = worker
  if (record.phase === 'waiting') return 'waiting'
  if (record.phase === 'ended') return 'ended'
  // after a failover its start is on record before its agent has spoken
  if (report === null) return record.last?.startedAt == null ? 'placed' : 'started'
  switch (report.phase) {
    case 'prepared':
      return 'prepared'
    case 'starting':
      return report.startedAt === null ? 'prepared' : 'started'
    case 'running':
      return report.ready && record.ending === null ? 'ready' : 'started'
    case 'stopping':
      return 'started'
    case 'exited':
    case 'gone':
    case 'cancelled':
      return 'exited'
    default:
      return report.phase satisfies never
  }
}

/** Change a worker; its role's counts follow. */
export function change(worker: Worker, by: () => void): void {
  const before = stageOf(worker)
  by()
  const after = stageOf(worker)
  if (before !== after) {
    worker.role.counts[before]--
    worker.role.counts[after]++
  }
}

export const GONE: Receipt = { outcome: 'gone', survivors: [], reason: null, ms: 0 }

/** The run's record or one of its workers changed: it goes into the next entry. */
export function touchRun(ctx: Ctx, run: Run): void {
  run.urgent = true
  ctx.s.dirty.add(run)
}

export function touchWorker(ctx: Ctx, worker: Worker, urgent: boolean): void {
  worker.run.dirtyWorkers.add(worker)
  if (urgent) worker.run.urgent = true
  ctx.s.dirty.add(worker.run)
}

/** Look at this worker again in this step. */
export function workOn(ctx: Ctx, worker: Worker): void {
  worker.run.work.add(worker)
  ctx.s.dirty.add(worker.run)
}

export function nodeOf(ctx: Ctx, name: string): NodeLive {
  const known = ctx.s.nodes.get(name)
  if (known !== undefined) return known
  const node = newNode(name, ctx.now)
  ctx.s.nodes.set(name, node)
  ctx.s.heard.add(node)
  return node
}

/** Set a timer for a run, unless an earlier one is set: what is due is looked at again then. */
export function wakeAt(ctx: Ctx, run: Run, at: number): void {
  if (at >= run.wakeAt) return
  run.wakeAt = at
  ctx.out.push({ kind: 'timer', at, timer: { of: 'run', run: run.record.run } })
}

/** A step has done its share: the rest is for the next, and other events come between. */
export function goOn(ctx: Ctx, run: Run | null = null): void {
  if (run !== null) ctx.s.rest.add(run)
  if (ctx.s.goingOn) return
  ctx.s.goingOn = true
  ctx.out.push({ kind: 'timer', at: ctx.now, timer: { of: 'rest' } })
}

export function live(worker: Worker): boolean {
  return worker.record.phase === 'placed'
}

/** Its agent may forget this fork; it must not run this one. */
export function toRelease(ctx: Ctx, node: NodeLive, forkId: string): void {
  node.release.add(forkId)
  ctx.s.nodeWork.add(node)
}

export function toStray(ctx: Ctx, node: NodeLive, forkId: string): void {
  node.strays.add(forkId)
  ctx.s.nodeWork.add(node)
}
