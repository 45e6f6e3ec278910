/**
 * Entries of the STATE log, and the durable shape of a run. The coordinator's durable state is the fold of
 * the entries after the last complete snapshot: each entry is a list of puts and drops, so folding is
 * assignment and nothing else.
 */
import * as z from 'zod'
import { Cause } from './causes.ts'
import {
  Attempt,
  Epoch,
  FirstFailure,
  ForkId,
  ForkReport,
  Incarnation,
  Index,
  Millis,
  Name,
  RunState,
  Wall,
} from './shapes.ts'
import { WORKERS_MAX } from './bounds.ts'

/**
 * One worker of a run, as decided: where it is to be, and how its latest attempt ended. Whether it is ready
 * comes from its agent alone.
 */
export const WorkerRecord = z.object({
  role: Name,
  index: Index,
  /** 0 before the first intent */
  attempt: Index,
  /** node and incarnation of the latest attempt's intent; null before */
  node: Name.nullable(),
  incarnation: Incarnation.nullable(),
  /**
   * waiting: no order sent; with a node: reserved there. placed: orders may have been sent. ended: nothing of
   * it runs or will
   */
  phase: z.enum(['waiting', 'placed', 'ended']),
  /** why it is being ended (becomes exit.killedBy); null while it should live */
  ending: Cause.nullable(),
  /**
   * What its agent said when this was written, for a later coordinator whose agent has forgotten it or cannot
   * be heard. `exit`, `receipt` and `stderrTail` (shortened) come with the end; null before the agent spoke.
   */
  last: ForkReport.pick({
    pid: true,
    addr: true,
    ports: true,
    gpus: true,
    ranks: true,
    startedAt: true,
    exitedAt: true,
    exit: true,
    receipt: true,
    stderrTail: true,
    saved: true,
  }).nullable(),
  /** attempts that are over, the last ten (ATTEMPTS_KEPT), and how many there were before these */
  attempts: z.array(Attempt).optional(),
  attemptsForgotten: z.number().int().optional(),
})
export type WorkerRecord = z.infer<typeof WorkerRecord>

/**
 * restart: after a failure of a worker. port: a stranger had taken a port. launch: the attempt could not be
 * started.
 */
export const RestartKind = z.enum(['restart', 'port', 'launch'])
export type RestartKind = z.infer<typeof RestartKind>

/** The first failure, with what later ones are compared with: also by a later coordinator. */
export const FailureRecord = z.object({
  failure: FirstFailure,
  /** bounds on the coordinator's clock; null: nothing is known of how early it was */
  when: z.object({ lo: z.number().nullable(), hi: z.number() }),
  /** as its own node's clock says */
  exitedAt: Wall.nullable(),
})
export type FailureRecord = z.infer<typeof FailureRecord>

/** The workers of a role of a live run: how many it should have, and which indices there are. */
export const RoleRecord = z.object({
  role: Name,
  wanted: z.number().int().min(0).max(WORKERS_MAX),
  /** ranges, first and last */
  indices: z.array(z.tuple([Index, Index])),
})
export type RoleRecord = z.infer<typeof RoleRecord>

export const RunRecord = z.object({
  run: Name,
  name: z.string(),
  user: Name,
  key: z.string(),
  acceptedAt: Wall,
  endedAt: Wall.nullable(),
  state: RunState,
  reason: z.string().nullable(),
  /** exit code of `run` and `wait`, once ended */
  code: z.number().int().nullable(),
  /** `why` decides the terminal state, `by` is what its workers are ended by, `text` is the run's reason */
  stopping: z
    .object({
      by: Cause,
      why: z.enum(['done', 'failed', 'cancelled', 'timed-out', 'could-not-start', 'lost', 'restart']),
      text: z.string(),
      code: z.number().int(),
      at: Wall,
      kill: z.boolean(),
    })
    .nullable(),
  firstFailure: FailureRecord.nullable(),
  /** accumulated clocks, and when the present state began; wall times survive a failover */
  clocks: z.object({ queuedMs: Millis, startMs: Millis, runMs: Millis, since: Wall }),
  /** tries that may count, per role and kind: when each was begun */
  restarts: z.array(z.object({ role: Name, kind: RestartKind, at: z.array(Wall) })),
  /** role → until when it waits before its next try, whatever kind that is */
  backoffUntil: z.record(z.string(), Wall),
  /** when each role was first ready / done */
  roleReadyAt: z.record(z.string(), Wall),
  startSkewMs: z.record(z.string(), Millis),
  /**
   * `role/on` → since when the role could start but for that dependency: its timeout goes on over a failover
   */
  waitsSince: z.record(z.string(), Wall).optional(),
  /** role → when the first torchrun agent of its attempt exited 0: its peers' time goes on over a failover */
  firstDoneAt: z.record(z.string(), Wall).optional(),
  /** by role: the attempt that is being decided; the workers of it that still wait belong to it, too */
  launching: z.record(z.string(), z.number().int()).optional(),
  workers: z.array(WorkerRecord),
})
export type RunRecord = z.infer<typeof RunRecord>

export const KeyRecord = z.object({
  key: z.string(),
  /** SHA-256 of the canonical JSON of the document as sent */
  hash: z.string(),
  run: Name.nullable(),
  fault: z.record(z.string(), z.unknown()).nullable(),
  at: Wall,
})
export type KeyRecord = z.infer<typeof KeyRecord>

export const StateOp = z.discriminatedUnion('op', [
  /**
   * the run's head is put whole, of its workers those that are given: a gang of thousands fits no entry.
   * Workers never given wait, as the spec says
   */
  z.object({ op: z.literal('run'), run: RunRecord }),
  /** part k of n of the resolved launch, as msgpack: a launch of any allowed size fits into entries */
  z.object({
    op: z.literal('spec'),
    run: Name,
    part: z.tuple([z.number().int(), z.number().int()]),
    bytes: z.instanceof(Uint8Array),
  }),
  z.object({ op: z.literal('role'), run: Name, role: RoleRecord }),
  z.object({ op: z.literal('drop-run'), run: Name }),
  z.object({ op: z.literal('key'), key: KeyRecord }),
  z.object({ op: z.literal('drop-key'), key: z.string() }),
  /** a fork id that must never run (again) on a node that could not be told yet */
  z.object({ op: z.literal('fenced'), forkId: ForkId, node: Name }),
  z.object({ op: z.literal('unfenced'), forkId: ForkId }),
  z.object({ op: z.literal('drain'), node: Name, on: z.boolean() }),
])
export type StateOp = z.infer<typeof StateOp>

/** Of the entries in STATE: a coordinator leads over no other. */
export const STATE_FORMAT = 1

export const StateEntry = z.object({
  format: z.literal(STATE_FORMAT),
  epoch: Epoch,
  /** incarnation of the coordinator that wrote it, and its how-manieth entry: "is the tail mine?" */
  writer: Incarnation,
  number: z.number().int(),
  at: Wall,
  /** resign: the writer has stopped acting; a standby need not wait for its lease */
  kind: z.enum(['takeover', 'renew', 'change', 'snapshot', 'resign']),
  /**
   * of a snapshot, [k, 0], and [n, n] when it is the last: changes may stand between the parts. Folding
   * restarts at part 1 when all n are there
   */
  part: z.tuple([z.number().int(), z.number().int()]).nullable(),
  ops: z.array(StateOp),
})
export type StateEntry = z.infer<typeof StateEntry>

/** Bound of the ops of one entry, in encoded bytes: what is over it waits for the next append. */
export const ENTRY_BYTES_MAX = 512 * 1024
