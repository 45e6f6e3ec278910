/**
 * Entries of the STATE log, and the durable shape of a run. The coordinator's durable state is the fold of
 * the entries after the last complete snapshot: each entry is a list of puts and drops, so folding is
 * assignment and nothing else.
 */
import * as z from 'zod'
import { Cause } from './causes.ts'
import {
  Epoch,
  Exit,
  FirstFailure,
  ForkId,
  Incarnation,
  Index,
  Millis,
  Name,
  RankReport,
  Receipt,
  RunState,
  Wall,
} from './shapes.ts'
import { Launch } from './launch/resolved.ts'

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
  exit: Exit.nullable(),
  receipt: Receipt.nullable(),
  stderrTail: z.array(z.string()),
  startedAt: Wall.nullable(),
  exitedAt: Wall.nullable(),
  /**
   * what its agent said when this was written, for `status` when the agent has forgotten it or cannot be
   * heard
   */
  seen: z
    .object({
      pid: z.number().int().nullable(),
      addr: z.string().nullable(),
      ports: z.array(z.number().int()),
      gpus: z.array(z.string()),
      ranks: z.array(RankReport),
    })
    .nullable()
    .optional(),
})
export type WorkerRecord = z.infer<typeof WorkerRecord>

/**
 * restart: after a failure of a worker. port: a stranger had taken a port. launch: the attempt could not be
 * started.
 */
export const RestartKind = z.enum(['restart', 'port', 'launch'])
export type RestartKind = z.infer<typeof RestartKind>

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
  firstFailure: FirstFailure.nullable(),
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
  z.object({ op: z.literal('spec'), run: Name, spec: Launch }),
  z.object({ op: z.literal('drop-run'), run: Name }),
  z.object({ op: z.literal('key'), key: KeyRecord }),
  z.object({ op: z.literal('drop-key'), key: z.string() }),
  /** a fork id that must never run (again) on a node that could not be told yet */
  z.object({ op: z.literal('fenced'), forkId: ForkId, node: Name }),
  z.object({ op: z.literal('unfenced'), forkId: ForkId }),
  z.object({ op: z.literal('drain'), node: Name, on: z.boolean() }),
])
export type StateOp = z.infer<typeof StateOp>

export const StateEntry = z.object({
  epoch: Epoch,
  /** incarnation of the coordinator that wrote it, and its how-manieth entry: "is the tail mine?" */
  writer: Incarnation,
  number: z.number().int(),
  at: Wall,
  /** resign: the writer has stopped acting; a standby need not wait for its lease */
  kind: z.enum(['takeover', 'renew', 'change', 'snapshot', 'resign']),
  /**
   * for a snapshot that needs several entries: part k of n; folding restarts at part 1 when all n are there
   */
  part: z.tuple([z.number().int(), z.number().int()]).nullable(),
  ops: z.array(StateOp),
})
export type StateEntry = z.infer<typeof StateEntry>

/** Soft bound of one entry, bytes: what is over it waits for the next append. */
export const ENTRY_BYTES_MAX = 512 * 1024
