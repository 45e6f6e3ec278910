/**
 * THE TABLE: one row for each message that crosses the bus. From it come the TypeScript types, validation at
 * both ends, subjects (subjects.ts), the NATS permissions of every role (permissions.ts), docs/protocol.md,
 * the JSON Schemas and the golden bytes. There is no second list: to add a message, add a row
 * (docs/howto/add-a-message.md).
 *
 * Subjects are written below `troupe.v1.<fleet>.`; `{x}` is one token. A `{node}` in what an agent publishes,
 * and a `{user}` in what a client publishes, is the server's word: the credential allows no other.
 */
import * as z from 'zod'
import {
  Epoch,
  Exit,
  FirstFailure,
  ForkId,
  ForkReport,
  Incarnation,
  Index,
  LogOffsets,
  Millis,
  Name,
  NodeCapacity,
  NodeInfo,
  RunState,
  RunStatus,
  RunSummary,
  SignalName,
  Target,
  Wall,
} from './shapes.ts'
import { Bindings, ForkSpec, Launch } from './resolved.ts'
import type { FaultCode } from './faults.ts'

/** Who holds a credential. `worker` comes with its library, `admin` with tenants. */
export const ROLES = ['client', 'observer', 'agent', 'coordinator'] as const
export type BusRole = (typeof ROLES)[number]

/**
 * request: core request-reply. gather: one request, a reply from each agent. durable: JetStream work queue.
 * event, state, archive, log: acknowledged append to a JetStream stream that is also delivered live. beat:
 * core, may be lost.
 */
export type Kind = 'request' | 'gather' | 'durable' | 'event' | 'state' | 'archive' | 'log' | 'beat'

export interface Row {
  subject: string
  kind: Kind
  /** who may publish it */
  from: readonly BusRole[]
  /** who serves (request, durable) or may subscribe */
  to: readonly BusRole[]
  /** body; null: raw bytes */
  body: z.ZodType | null
  reply: z.ZodType | null
  /** how long the asker waits, ms */
  timeoutMs: number
  errors: readonly FaultCode[]
  doc: string
}
function row<const R extends Row>(r: R): R {
  return r
}

const Empty = z.object({})
/**
 * A launch document as it was sent: launch.ts validates and resolves it, so that its errors can name path and
 * line.
 */
export const AnyDocument = z.record(z.string(), z.unknown())
const Accepted = z.object({
  /** workers that the order is for; empty when it was done already */
  workers: z.array(z.string()),
})

const ask = { kind: 'request', from: ['client'], to: ['coordinator'], timeoutMs: 1000 } as const
const read = { kind: 'request', from: ['client', 'observer'], to: ['coordinator'], timeoutMs: 1000 } as const
const order = { kind: 'request', from: ['coordinator'], to: ['agent'], timeoutMs: 1000 } as const
const event = {
  kind: 'event',
  to: ['client', 'observer', 'coordinator'],
  reply: null,
  timeoutMs: 2000,
  errors: [],
} as const

/**
 * Fields that every event has. `id` is unique and the same when a publish is tried again; `rev` counts an
 * agent's facts (see beat).
 */
const EventBase = z.object({ id: z.string(), at: Wall, what: z.string() })
const RunEvent = EventBase.extend({
  run: Name,
  name: z.string(),
  user: z.string(),
  state: RunState,
  reason: z.string().nullable(),
  attempt: Index,
})
const WorkerEvent = EventBase.extend({ node: Name, incarnation: Incarnation, rev: z.number().int() }).extend(
  ForkReport.shape,
)
const NodeEvent = EventBase.extend({ node: Name, incarnation: z.string(), reason: z.string().nullable() })

export const RUN_WHATS = [
  'accepted',
  'rejected',
  'pending',
  'starting',
  'running',
  'stopping',
  'ended',
] as const
export const WORKER_WHATS = [
  'prepared',
  'started',
  'ready',
  'unready',
  'exited',
  'gone',
  'logs-final',
  'ranks',
  'cancelled',
] as const
export const NODE_WHATS = ['joined', 'suspect', 'lost', 'draining', 'left'] as const

export const TABLE = {
  // — ask the coordinator —
  'coordinator.launch': row({
    ...ask,
    subject: 'coordinator.launch.{user}',
    body: AnyDocument,
    reply: z.object({ run: Name, existing: z.boolean() }),
    errors: ['SPEC_INVALID', 'PLAN_INVALID', 'KEY_CONFLICT', 'OVERLOADED', 'NOT_LEADER'],
    doc: 'Launch a run. `Troupe-Key` makes it idempotent: same key and spec, same answer for 48 h.',
  }),
  'coordinator.plan': row({
    ...read,
    subject: 'coordinator.plan.{user}',
    body: AnyDocument,
    reply: z.object({
      launch: Launch,
      plan: z.array(z.string()),
      placements: z.array(z.object({ worker: z.string(), node: z.string().nullable() })),
    }),
    errors: ['SPEC_INVALID', 'PLAN_INVALID'],
    doc: 'Resolve a document and say what would be done; nothing is launched.',
  }),
  'coordinator.stop': row({
    ...ask,
    subject: 'coordinator.stop.{user}',
    body: Target.extend({ force: z.boolean().optional() }),
    reply: Accepted,
    errors: ['WORKER_NOT_FOUND', 'NOT_LEADER', 'OVERLOADED'],
    doc: 'Stop with the role’s ladder, in stop order. `force` also ends workers whose node is lost, as `unverified`.',
  }),
  'coordinator.kill': row({
    ...ask,
    subject: 'coordinator.kill.{user}',
    body: Target.extend({ force: z.boolean().optional() }),
    reply: Accepted,
    errors: ['WORKER_NOT_FOUND', 'NOT_LEADER', 'OVERLOADED'],
    doc: 'Stop with grace 0.',
  }),
  'coordinator.signal': row({
    ...ask,
    subject: 'coordinator.signal.{user}',
    body: Target.extend({ signal: SignalName, rank: Index.optional() }),
    reply: Accepted,
    errors: ['WORKER_NOT_FOUND', 'NOT_LEADER', 'OVERLOADED'],
    doc: 'Send a signal to the root process of each targeted worker, or to one rank.',
  }),
  'coordinator.status': row({
    ...read,
    subject: 'coordinator.status.{user}',
    body: z.object({ run: Name }),
    reply: RunStatus,
    errors: ['WORKER_NOT_FOUND', 'NOT_LEADER'],
    doc: 'Everything that is known about a run.',
  }),
  'coordinator.list': row({
    ...read,
    subject: 'coordinator.list.{user}',
    body: z.object({ all: z.boolean().optional() }),
    reply: z.object({ runs: z.array(RunSummary) }),
    errors: ['NOT_LEADER'],
    doc: 'Live runs, newest first; with `all` ended ones too.',
  }),
  'coordinator.explain': row({
    ...read,
    subject: 'coordinator.explain.{user}',
    body: Target,
    reply: z.object({
      lines: z.array(z.object({ subject: z.string(), text: z.string(), next: z.string().nullable() })),
    }),
    errors: ['WORKER_NOT_FOUND', 'NOT_LEADER'],
    doc: 'Which clock is ticking and why; cause and next check.',
  }),
  'coordinator.nodes': row({
    ...read,
    subject: 'coordinator.nodes.{user}',
    body: Empty,
    reply: z.object({ nodes: z.array(NodeInfo) }),
    errors: ['NOT_LEADER'],
    doc: 'The nodes that this coordinator has heard of.',
  }),
  'coordinator.answer': row({
    ...read,
    subject: 'coordinator.answer.{user}',
    body: z.object({ key: z.string() }),
    reply: z.object({ run: Name.nullable(), fault: z.record(z.string(), z.unknown()).nullable() }),
    errors: ['WORKER_NOT_FOUND', 'NOT_LEADER'],
    doc: 'What became of the launch with this key (without one: a durable launch has its stream sequence, any other the key in its event).',
  }),
  'coordinator.adopt': row({
    ...ask,
    subject: 'coordinator.adopt.{user}',
    body: z.object({ node: Name }),
    reply: Empty,
    errors: ['NODE_NOT_FOUND', 'NOT_LEADER'],
    doc: 'After the state store was made anew: let a node accept it.',
  }),
  'coordinator.drain': row({
    ...ask,
    subject: 'coordinator.drain.{user}',
    body: z.object({ node: Name, on: z.boolean() }),
    reply: Empty,
    errors: ['NODE_NOT_FOUND', 'NOT_LEADER'],
    doc: 'Place nothing new on a node, or again.',
  }),
  // — durable launch —
  launch: row({
    kind: 'durable',
    from: ['client'],
    to: ['coordinator'],
    subject: 'launch.{user}',
    body: AnyDocument,
    reply: null,
    timeoutMs: 2000,
    errors: [],
    doc: 'The durable door: kept until a coordinator comes. The outcome is an event, `coordinator.answer`, and a message to `Troupe-Reply-To`.',
  }),
  // — orders to one incarnation of a node —
  'node.prepare': row({
    ...order,
    subject: 'node.{node}.{incarnation}.prepare',
    body: z.object({ forks: z.array(ForkSpec), lapseMs: Millis }),
    reply: z.object({ forks: z.array(ForkReport), token: z.string() }),
    errors: [
      'PORT_ALLOC',
      'GPU_ALLOC',
      'SPOOL',
      'WORKER_CONFIG',
      'CANCELLED',
      'EXPIRED',
      'STALE_EPOCH',
      'STORE_UNKNOWN',
      'OVERLOADED',
    ],
    doc: 'Lease ports, GPUs and cores and make the spools of some forks of one gang: all or none. Lapses after `lapseMs`.',
  }),
  'node.start': row({
    ...order,
    subject: 'node.{node}.{incarnation}.start',
    body: z.object({ token: z.string(), forks: z.array(z.object({ forkId: ForkId, bindings: Bindings })) }),
    reply: z.object({ forks: z.array(ForkReport) }),
    errors: [
      'EXPIRED',
      'CANCELLED',
      'WORKER_CREATE',
      'WORKER_CONFIG',
      'STALE_EPOCH',
      'STORE_UNKNOWN',
      'OVERLOADED',
    ],
    doc: 'Start prepared forks. A fork that started before is reported as it is, never started again; one that cannot start is reported with `startFault`.',
  }),
  'node.kill': row({
    ...order,
    subject: 'node.{node}.{incarnation}.kill',
    body: z.object({
      forks: z.array(
        z.object({ forkId: ForkId, signal: SignalName.nullable(), graceMs: Millis, killedBy: z.string() }),
      ),
    }),
    reply: z.object({ forks: z.array(ForkReport) }),
    errors: ['EXPIRED', 'STALE_EPOCH', 'STORE_UNKNOWN'],
    doc: 'Begin the stop ladder (signal null: straight to SIGKILL; a prepared fork is cancelled). A second order can only shorten the grace. Ends in event `gone`.',
  }),
  'node.cancel': row({
    ...order,
    subject: 'node.{node}.{incarnation}.cancel',
    body: z.object({ forks: z.array(ForkId), killedBy: z.string() }),
    reply: z.object({ forks: z.array(ForkReport) }),
    errors: ['EXPIRED', 'STALE_EPOCH', 'STORE_UNKNOWN'],
    doc: 'Refuse these ids for ever, known or not; what runs is killed with grace 0. A reply with phase `cancelled` or `gone` is the proof that nothing runs or will run.',
  }),
  'node.signal': row({
    ...order,
    subject: 'node.{node}.{incarnation}.signal',
    body: z.object({ forkId: ForkId, signal: SignalName, rank: Index.nullable() }),
    reply: Empty,
    errors: ['WORKER_NOT_FOUND', 'EXPIRED', 'STALE_EPOCH', 'STORE_UNKNOWN'],
    doc: 'One signal to a root process or a rank.',
  }),
  'node.release': row({
    ...order,
    subject: 'node.{node}.{incarnation}.release',
    body: z.object({ forks: z.array(ForkId) }),
    reply: Empty,
    errors: ['STALE_EPOCH', 'STORE_UNKNOWN'],
    doc: 'The end is in STATE: forget these forks; logs stay by retention, tombstones stay.',
  }),
  'node.inventory': row({
    ...order,
    subject: 'node.{node}.{incarnation}.inventory',
    body: Empty,
    reply: z.object({
      rev: z.number().int(),
      pid: z.number().int(),
      capacity: NodeCapacity,
      forks: z.array(ForkReport),
      epoch: Epoch.nullable(),
    }),
    errors: [],
    doc: 'All forks that the spool knows and that are not released, and what the node has. Answered to any epoch.',
  }),
  'node.adopt': row({
    ...order,
    subject: 'node.{node}.{incarnation}.adopt',
    body: z.object({ storeId: z.string() }),
    reply: Empty,
    errors: [],
    doc: 'Accept a new state store; given by a person’s word alone.',
  }),
  // — all nodes —
  'nodes.resync': row({
    kind: 'gather',
    from: ['coordinator'],
    to: ['agent'],
    subject: 'nodes.resync',
    body: Empty,
    reply: null,
    timeoutMs: 1000,
    errors: [],
    doc: 'A new leader asks every agent to beat now.',
  }),
  // — one worker, answered by the agent whose spool holds the fork —
  'worker.log': row({
    kind: 'request',
    from: ['client', 'observer'],
    to: ['agent'],
    subject: 'worker.{run}.{role}.{index}.log',
    body: z.object({
      attempt: Index.optional(),
      source: z.string().max(64).optional(),
      offset: z.number().int().min(0).optional(),
      bytesMax: z.number().int().min(0).max(524_288).optional(),
      tailLines: z.number().int().min(0).max(100_000).optional(),
    }),
    reply: z.object({
      node: Name,
      forkId: ForkId,
      attempt: Index,
      sources: z.record(
        z.string(),
        z.object({
          size: z.number().int(),
          floor: z.number().int(),
          generation: z.number().int(),
          shipped: z.number().int().optional(),
        }),
      ),
      source: z.string().nullable(),
      offset: z.number().int(),
      bytes: z.instanceof(Uint8Array),
      final: z.boolean(),
    }),
    timeoutMs: 1000,
    errors: ['WORKER_NOT_FOUND', 'GONE'],
    doc: 'Bytes of a log from the spool, at most bytesMax (default 256 KiB), from `offset` or so that `tailLines` lines are left; without a source only the sizes, and how far each is surely on the relay (`shipped`, up to a second old). Without `attempt` each node that holds one answers with its latest, and the first answer counts: ask with the attempt that status names. In JSON `bytes` is base64.',
  }),
  'worker.health': row({
    kind: 'request',
    from: ['client', 'observer'],
    to: ['agent'],
    subject: 'worker.{run}.{role}.{index}.health',
    body: Empty,
    reply: z.object({
      node: Name,
      forkId: ForkId,
      phase: z.string(),
      ready: z.boolean(),
      readyReason: z.string().nullable(),
      pid: z.number().int().nullable(),
      processes: z.number().int(),
      rssBytes: z.number(),
      exit: Exit.nullable(),
    }),
    timeoutMs: 1000,
    errors: ['WORKER_NOT_FOUND'],
    doc: 'The agent’s view: process state, probe, size of the tree.',
  }),
  // — heartbeat —
  beat: row({
    kind: 'beat',
    from: ['agent'],
    to: ['coordinator'],
    subject: 'beat.{node}',
    body: z.object({
      incarnation: Incarnation,
      tick: z.number(),
      rev: z.number().int(),
      loopLagMs: Millis,
      epoch: Epoch.nullable(),
      storeRefused: z.boolean(),
      leaving: z.boolean(),
      draining: z.boolean(),
    }),
    reply: null,
    timeoutMs: 0,
    errors: [],
    doc: 'Each 500 ms. `tick` is the agent’s monotonic clock, `rev` how many facts it has stated: a coordinator that has heard fewer asks for the inventory.',
  }),
  // — events —
  'event.run': row({
    ...event,
    from: ['coordinator'],
    subject: 'event.{run}._._.{what}._',
    body: RunEvent.extend({
      code: z.number().int().nullable(),
      firstFailure: FirstFailure.nullable(),
      key: z.string().nullable(),
      fault: z.record(z.string(), z.unknown()).nullable(),
    }),
    doc: 'A run’s change of state; `rejected` has `fault`, and run `_`-less name as asked for.',
  }),
  'event.worker': row({
    ...event,
    from: ['agent'],
    subject: 'event.{run}.{role}.{index}.{what}.{node}',
    body: WorkerEvent,
    doc: 'A fact about a fork, with all that its agent knows of it.',
  }),
  'event.lost': row({
    ...event,
    from: ['coordinator'],
    subject: 'event.{run}.{role}.{index}.lost._',
    body: EventBase.extend({
      run: Name,
      role: Name,
      index: Index,
      attempt: Index,
      node: Name,
      forkId: ForkId,
      reason: z.string(),
    }),
    doc: 'A worker’s node fell silent.',
  }),
  'event.node': row({
    ...event,
    from: ['coordinator'],
    subject: 'event._._._.{what}.{node}',
    body: NodeEvent,
    doc: 'A node joined, is suspect, lost, draining, or left.',
  }),
  // — log bytes —
  log: row({
    kind: 'log',
    from: ['agent'],
    to: ['client', 'observer'],
    subject: 'log.{run}.{role}.{index}.{attempt}.{source}.{node}',
    body: null,
    reply: null,
    timeoutMs: 5000,
    errors: [],
    doc: 'A range of a log file, its byte offset in `Troupe-Offset`, the fork id in `Troupe-Fork`; `Troupe-Record` marks records (truncated, lost, final).',
  }),
  // — the coordinator’s memory —
  state: row({
    kind: 'state',
    from: ['coordinator'],
    to: ['coordinator'],
    subject: 'state',
    body: null,
    reply: null,
    timeoutMs: 2000,
    errors: [],
    doc: 'STATE: entries of records.ts, written by the leader alone, one append in flight.',
  }),
  archive: row({
    kind: 'archive',
    from: ['coordinator'],
    to: ['coordinator'],
    subject: 'archive.{run}',
    body: RunStatus,
    reply: null,
    timeoutMs: 2000,
    errors: [],
    doc: 'The last status of an ended run.',
  }),
} as const satisfies Record<string, Row>

export type RowName = keyof typeof TABLE
export type RowsOf<K extends Kind> = {
  [N in RowName]: (typeof TABLE)[N]['kind'] extends K ? N : never
}[RowName]
export type BodyOf<N extends RowName> = (typeof TABLE)[N]['body'] extends z.ZodType
  ? z.output<(typeof TABLE)[N]['body'] & z.ZodType>
  : Uint8Array
export type ReplyOf<N extends RowName> = (typeof TABLE)[N]['reply'] extends z.ZodType
  ? z.output<(typeof TABLE)[N]['reply'] & z.ZodType>
  : never

type ParamNames<S extends string> = S extends `${string}{${infer P}}${infer Rest}`
  ? P | ParamNames<Rest>
  : never
/** The subject parameters of a row, by name. */
export type ParamsOf<N extends RowName> = { [P in ParamNames<(typeof TABLE)[N]['subject']>]: string | number }

/** Headers: routing and policy; the body is payload alone. */
export const HEADERS = {
  contentType: 'Content-Type',
  id: 'Troupe-Id',
  key: 'Troupe-Key',
  epoch: 'Troupe-Epoch',
  cause: 'Troupe-Cause',
  notAfter: 'Troupe-Not-After',
  replyTo: 'Troupe-Reply-To',
  traceparent: 'traceparent',
  fork: 'Troupe-Fork',
  offset: 'Troupe-Offset',
  record: 'Troupe-Record',
  generation: 'Troupe-Generation',
  error: 'Nats-Service-Error',
  errorCode: 'Nats-Service-Error-Code',
} as const
export const MSGPACK = 'application/msgpack'

/** The streams of a fleet, by kind. Names are `troupe_<fleet>_<NAME>`. */
export const STREAMS = {
  STATE: { row: 'state', doc: 'the coordinator’s memory' },
  ARCHIVE: { row: 'archive', doc: 'ended runs' },
  EVENT: { row: 'event', doc: 'events, a report' },
  LOG: { row: 'log', doc: 'a relay of log bytes' },
  LAUNCH: { row: 'launch', doc: 'durable launches, a work queue' },
} as const
export type StreamName = keyof typeof STREAMS
export function streamOf(fleet: string, name: StreamName): string {
  return `troupe_${fleet}_${name}`
}
export const LogSource = z.string().regex(/^(stdout|stderr|r\d{1,6}(\.\d{1,4})?-(stdout|stderr))$/)
export { LogOffsets }
