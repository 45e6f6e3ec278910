/**
 * Who failed first. Order of receipt decides, corrected by the measured clocks of the nodes; where these
 * cannot tell two failures apart, the answer says `uncertain`.
 */
import type { FirstFailure } from '../../protocol/shapes.ts'
import { failedRank } from './outcome.ts'
import type { NodeLive, Worker } from './state.ts'

export interface Interval {
  lo: number
  hi: number
}

/** A node's wall time on the coordinator's clock. Not measured: anything up to now may be true. */
export function onOurClock(node: NodeLive | undefined, nodeWall: number, receivedWall: number): Interval {
  if (node?.offset == null) return { lo: -Infinity, hi: receivedWall }
  // told before it was received: an offset that drifted since is bounded by that
  const hi = Math.min(nodeWall - node.offset.lo, receivedWall)
  return { lo: Math.min(nodeWall - node.offset.hi, hi), hi }
}

export interface Failure {
  failure: FirstFailure
  when: Interval
  /** as its own node's clock says, or null */
  exitedAt: number | null
}

export function failureOf(worker: Worker, node: NodeLive | undefined, receivedWall: number): Failure | null {
  const { report, record } = worker
  const exit = record.exit ?? report?.exit ?? null
  if (exit === null) return null
  const rank = report === null || worker.role.spec.kind !== 'torchrun' ? null : failedRank(report)
  const exitedAt = rank?.rank.exitedAt ?? record.exitedAt ?? report?.exitedAt ?? null
  const when =
    exitedAt === null ? { lo: -Infinity, hi: receivedWall } : onOurClock(node, exitedAt, receivedWall)
  return {
    when,
    exitedAt,
    failure: {
      worker: worker.id,
      ...(rank !== null && { rank: rank.rank.rank }),
      node: record.node ?? '',
      exit: rank?.exit ?? exit,
      stderrTail: report?.stderrTail ?? record.stderrTail,
      at: Math.round(Number.isFinite(when.lo) ? (when.lo + when.hi) / 2 : when.hi),
      uncertain: false,
    },
  }
}

/** The first of two: the one that was told first stays, unless the other is earlier for certain. */
export function earlier(told: Failure, other: Failure): Failure {
  if (
    told.failure.node === other.failure.node &&
    told.exitedAt !== null &&
    other.exitedAt !== null &&
    told.exitedAt !== other.exitedAt
  )
    return other.exitedAt < told.exitedAt ? other : told
  if (other.when.hi < told.when.lo) return other
  if (told.when.hi <= other.when.lo) return told
  return { ...told, failure: { ...told.failure, uncertain: true } }
}
