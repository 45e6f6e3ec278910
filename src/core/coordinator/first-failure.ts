/**
 * Who failed first. Order of receipt decides, corrected by the measured clocks of the nodes; where these
 * cannot tell two failures apart, the answer says `uncertain`.
 */
import type { FailureRecord } from '../../protocol/records.ts'
import type { Exit } from '../../protocol/shapes.ts'
import { failedRank } from './ranks.ts'
import type { NodeLive, Worker } from './types.ts'
import { viewOf } from './worker.ts'

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

/** A worker's failure as its exit says it. @param receivedWall  when that was heard */
export function failureOf(
  worker: Worker,
  node: NodeLive | undefined,
  receivedWall: number,
): FailureRecord | null {
  const view = viewOf(worker)
  if (view.exit === null) return null
  const rank = worker.role.spec.kind === 'torchrun' ? failedRank(view) : null
  const exitedAt = rank?.rank.exitedAt ?? view.exitedAt
  const { lo, hi } =
    exitedAt === null ? { lo: -Infinity, hi: receivedWall } : onOurClock(node, exitedAt, receivedWall)
  return {
    when: { lo: Number.isFinite(lo) ? lo : null, hi },
    exitedAt,
    failure: {
      worker: worker.id,
      ...(rank !== null && { rank: rank.rank.rank }),
      node: worker.record.node ?? '',
      exit: rank?.exit ?? view.exit,
      stderrTail: view.stderrTail,
      at: Math.round(Number.isFinite(lo) ? (lo + hi) / 2 : hi),
      uncertain: false,
    },
  }
}

/** A failure that somebody saw, and that no exit tells: it was there at `at` for certain. */
export function failureAt(worker: Worker, exit: Exit, at: number): FailureRecord {
  return {
    when: { lo: at, hi: at },
    exitedAt: null,
    failure: {
      worker: worker.id,
      node: worker.record.node ?? '',
      exit,
      stderrTail: viewOf(worker).stderrTail,
      at,
      uncertain: false,
    },
  }
}

/** The first of two: the one that was told first stays, unless the other is earlier for certain. */
export function earlier(told: FailureRecord, other: FailureRecord): FailureRecord {
  if (
    told.failure.node === other.failure.node &&
    told.exitedAt !== null &&
    other.exitedAt !== null &&
    told.exitedAt !== other.exitedAt
  )
    return other.exitedAt < told.exitedAt ? other : told
  if (told.when.lo !== null && other.when.hi < told.when.lo) return other
  if (other.when.lo !== null && told.when.hi <= other.when.lo) return told
  return { ...told, failure: { ...told.failure, uncertain: true } }
}
