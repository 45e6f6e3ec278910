/**
 * The shapes that several messages share: an exit, a receipt, a report about a fork, a node. Owns the zod
 * schemas and their types; the messages themselves stand in table.ts, the launch document in launch/.
 * Units: every `…Ms` is milliseconds, `at` is Unix milliseconds, `…Bytes` bytes, ticks are milliseconds of a
 * monotonic clock.
 */
import * as z from 'zod'
import { Cause } from './causes.ts'
import { NAME } from './names.ts'
import { Receipt, Saved, SAVED_LOG_SHOWN, SaveState } from './receipts.ts'

export { Receipt, Saved, SaveState, type WorkerReceipt } from './receipts.ts'

export const Name = z.string().regex(NAME)
export const Index = z.number().int().min(0).max(999_999_999)
export const Millis = z.number().min(0)
export const Wall = z.number().int()
export const ForkId = z.string().max(140)
export const SignalName = z.string().regex(/^SIG[A-Z0-9+-]{1,12}$/)

/**
 * How a process ended. All null but `unknown` when nobody can know. `killedBy` is the cause when we ended it.
 * Such an end is no failure of the worker, unless its cause is `not-ready`, `fence` or `orphan`.
 */
export const Exit = z.object({
  code: z.number().int().nullable(),
  signal: SignalName.nullable(),
  oom: z.boolean().nullable(),
  unknown: z.string().nullable(),
  killedBy: Cause.nullable(),
  /**
   * there when the `setup` ended, and the command never began: the command of the set-up that failed, empty
   * where it is not known
   */
  inSetUp: z.string().optional(),
  /** there when the root of a service ended while so many processes of its tree ran on */
  left: z.number().int().min(1).optional(),
  /** the signal that ended it was sent by this person, by `signal`: no stop, so judged as its own end */
  sentBy: Name.optional(),
})
export type Exit = z.infer<typeof Exit>

export const RankReport = z.object({
  rank: Index,
  localRank: Index,
  /** torchrun's own restart count; 0 with our defaults. */
  restart: Index,
  pid: z.number().int().nullable(),
  state: z.enum(['running', 'exited']),
  exit: Exit.nullable(),
  startedAt: Wall.nullable(),
  exitedAt: Wall.nullable(),
})
export type RankReport = z.infer<typeof RankReport>

/** Where a fork is on its node. `cancelled`: the spool refuses the id for ever. */
const ForkPhase = z.enum(['prepared', 'starting', 'running', 'stopping', 'exited', 'gone', 'cancelled'])
type ForkPhase = z.infer<typeof ForkPhase>

/**
 * End offset of each log source, in bytes; `lost` are ranges [from, to) that were given up; `generation`
 * counts truncations, absent is 0.
 */
export const LogOffsets = z.record(
  z.string(),
  z.object({
    bytes: z.number().int().min(0),
    lost: z.array(z.tuple([z.number().int(), z.number().int()])),
    generation: z.number().int().min(0).optional(),
  }),
)
export type LogOffsets = z.infer<typeof LogOffsets>

/** Whom a signal of a person is for. */
export const SignalAim = z.enum(['root', 'ranks', 'tree'])
export type SignalAim = z.infer<typeof SignalAim>
/** A signal that a person sent to a fork, or to one rank of it. */
export const SentSignal = z.object({ signal: SignalName, by: Name, to: z.union([SignalAim, Index]) })
export type SentSignal = z.infer<typeof SentSignal>
/** So many of them are kept of a fork, the latest. */
export const SENT_SIGNALS_MAX = 5

/**
 * Everything that an agent says of one fork. The body of every worker event and each line of an inventory:
 * one shape, so that the coordinator has one way to learn a fact, however it hears it. Later facts only fill
 * in or move forward.
 */
export const ForkReport = z.object({
  forkId: ForkId,
  run: Name,
  role: Name,
  index: Index,
  attempt: Index,
  phase: ForkPhase,
  /** root process of the tree */
  pid: z.number().int().nullable(),
  /**
   * bound for peers: host (of the chosen interface) and leased ports; addr is host:port 0, IPv6 in brackets
   */
  host: z.string().nullable(),
  addr: z.string().nullable(),
  ports: z.array(z.number().int()),
  /** port leased for a rendezvous on this node, torchrun's node rank 0 only */
  rendezvousPort: z.number().int().nullable(),
  gpus: z.array(z.string()),
  cores: z.array(z.number().int()),
  preparedAt: Wall.nullable(),
  startedAt: Wall.nullable(),
  exitedAt: Wall.nullable(),
  /** true/false as the probe says; without a probe true while running */
  ready: z.boolean(),
  /** why the probe says no, for explain */
  readyReason: z.string().nullable(),
  exit: Exit.nullable(),
  receipt: Receipt.nullable(),
  /** last 50 lines of stderr, at most 16 KiB; empty until exited */
  stderrTail: z.array(z.string()),
  /** torch's error file, when there is one, at most 16 KiB */
  errorFile: z.string().nullable(),
  ranks: z.array(RankReport),
  /** set when everything is shipped or declared lost */
  logsFinal: LogOffsets.nullable(),
  /** this fork's start failed: why (also in exit.unknown); code 126/127 when exec failed */
  startFault: z.string().nullable(),
  /** that fault stays as long as the document: its start is not tried again */
  startFinal: z.boolean().optional(),
  /** signals of persons, the latest last; left out when there were none */
  signals: z.array(SentSignal).max(SENT_SIGNALS_MAX).optional(),
  /** there once it was told to stop, where its role has `stop.saved`: null is not yet; of what is gone, no */
  saved: Saved.nullable().optional(),
})
export type ForkReport = z.infer<typeof ForkReport>

/** `uuid`: which device that is, left out where nobody can tell. Nodes that name the same one share it */
export const Gpu = z.object({
  id: z.string(),
  name: z.string(),
  memoryBytes: z.number().nullable(),
  uuid: z.string().optional(),
})
export type Gpu = z.infer<typeof Gpu>

/** What a node has, told once per incarnation in its inventory. */
export const NodeCapacity = z.object({
  hostname: z.string(),
  cpus: z.number().int(),
  memoryBytes: z.number(),
  gpus: z.array(Gpu),
  gpuTrouble: z.string().max(300).optional(), // why there may be fewer than there are, one line
  /** address for peers by default, and all interfaces: name → addresses */
  host: z.string(),
  interfaces: z.record(z.string(), z.array(z.string())),
  version: z.string(),
})
export type NodeCapacity = z.infer<typeof NodeCapacity>

/** A ULID: one start of an agent or coordinator. */
export const Incarnation = z.string().regex(/^[0-9A-HJKMNP-TV-Z]{26}$/)
/** `(storeId, n)`: which state store, and the how-manieth leader of it. */
export const Epoch = z.object({ storeId: z.string(), n: z.number().int().min(0) })
export type Epoch = z.infer<typeof Epoch>

export const RunState = z.enum([
  'pending',
  'starting',
  'running',
  'stopping',
  'succeeded',
  'failed',
  'cancelled',
  'timed-out',
  // a backend that allocates will say that its scheduler took the nodes
  'preempted',
  'lost',
])
export type RunState = z.infer<typeof RunState>
const LIVE_STATES: readonly RunState[] = ['pending', 'starting', 'running', 'stopping']
export function isTerminal(state: RunState): boolean {
  return !LIVE_STATES.includes(state)
}

export const WorkerState = z.enum(['pending', 'starting', 'running', 'stopping', 'exited', 'lost'])
export type WorkerState = z.infer<typeof WorkerState>

/** Who failed first in a run, how, and its last lines. */
export const FirstFailure = z.object({
  worker: z.string(),
  rank: Index.optional(),
  node: z.string(),
  exit: Exit,
  stderrTail: z.array(z.string()),
  at: Wall,
  /** true when two failures are closer than clocks and order of receipt can decide */
  uncertain: z.boolean(),
})
export type FirstFailure = z.infer<typeof FirstFailure>

/** Attempts that are kept of each worker, beside the latest. */
export const ATTEMPTS_KEPT = 10

/**
 * `exit` is null while it runs, and when it never did. `reason` says in at most 200 characters how it ended;
 * `lastWords` are at most 5 lines of 1,024 characters together.
 */
export const Attempt = z.object({
  attempt: Index,
  node: z.string().nullable(),
  exit: Exit.nullable(),
  reason: z.string().nullable(),
  lastWords: z.array(z.string()),
})
export type Attempt = z.infer<typeof Attempt>

/** One worker in `status`: DESIGN.md section 14. */
export const WorkerStatus = z.object({
  worker: z.string(),
  role: z.string(),
  index: Index,
  node: z.string().nullable(),
  incarnation: z.string().nullable(),
  forkId: z.string(),
  pid: z.number().int().nullable(),
  state: WorkerState,
  ready: z.boolean(),
  attempt: Index,
  addr: z.string().nullable(),
  ports: z.array(z.number().int()),
  gpus: z.array(z.string()),
  exit: Exit.nullable(),
  receipt: Receipt.nullable(),
  ranks: z.array(RankReport),
  /** colocated forks beside it; `coordinator.fork` will make them */
  children: z.array(z.string()),
  /** the latest last; the ten before it are kept, and `attemptsForgotten` were there before these */
  attempts: z.array(Attempt).default([]),
  attemptsForgotten: z.number().int().optional(),
  startedAt: Wall.nullable(),
  exitedAt: Wall.nullable(),
  /** why it is where it is, one line (probe says no, node lost, waiting) */
  reason: z.string().nullable(),
  /** signals that persons sent to its latest attempt; left out when there were none */
  signals: z.array(SentSignal).optional(),
  /** when it said that it saved, after its stop was asked for; null where it did not, `save` says more */
  saved: Saved.nullable().default(null),
  save: SaveState.optional(),
})
export type WorkerStatus = z.infer<typeof WorkerStatus>

export const Straggler = z.object({
  worker: z.string(),
  rank: Index.optional(),
  kind: z.enum(['join', 'start', 'heartbeat', 'progress']), // progress: from the library in a worker
  ms: Millis,
  text: z.string(),
})
export type Straggler = z.infer<typeof Straggler>

export const RunStatus = z.object({
  run: Name,
  name: z.string(),
  user: z.string(),
  state: RunState,
  reason: z.string().nullable(),
  attempt: Index,
  code: z.number().int().nullable(), // exit code of `run` and `wait` once ended, else null
  acceptedAt: Wall,
  endedAt: Wall.nullable(),
  firstFailure: FirstFailure.nullable(),
  note: z.string().max(300).optional(), // what its user may not have meant: GPUs that no worker sees
  /** of a run that waits: what would help, as a command where there is one, and the fact it rests on */
  help: z.object({ text: z.string().max(300).nullable(), next: z.string().max(200).nullable() }).optional(),
  clocks: z.object({ queuedMs: Millis, startMs: Millis, runMs: Millis }),
  stopMs: Millis.nullable(), // from the first sign of failure or the order to stop to the last receipt
  roles: z.array(
    z.object({
      role: z.string(),
      kind: z.string(),
      state: z.string(),
      workers: z.number().int(),
      ready: z.number().int(),
      /** have begun; are ready, were it once, or ended with 0; have ended, with a receipt */
      started: z.number().int(),
      wasReady: z.number().int(),
      ended: z.number().int(),
      startSkewMs: Millis.nullable(),
      /** its `stop.saved`, cut */
      savedLog: z.string().max(SAVED_LOG_SHOWN).optional(),
    }),
  ),
  stragglers: z.array(Straggler),
  workers: z.array(WorkerStatus),
})
export type RunStatus = z.infer<typeof RunStatus>

/** What a stop, kill or signal is aimed at: a run, a role, a worker. */
export const Target = z.object({ run: Name, role: Name.optional(), index: Index.optional() })
export type Target = z.infer<typeof Target>
