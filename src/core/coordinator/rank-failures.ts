/** A rank fails seconds before its torchrun does: the peers of that torchrun are told at once. */
import { type FailedRank, failedRank } from './ranks.ts'
import { live } from './stages.ts'
import { endingOf } from './stop.ts'
import { wakeAt } from './timers.ts'
import type { Ctx, Run, Worker } from './types.ts'
import { exitOf } from './worker.ts'

/**
 * A rank has failed, so its torchrun will (it is never told to restart ranks), but only seconds later. Its
 * peers are told to end now. What the failure means is judged at that torchrun's exit, which has the last
 * words; a peer with a failed rank of its own ends by itself.
 */
export function tellPeersOfRanks(ctx: Ctx, run: Run): void {
  const { rankFailureMs } = ctx.s.settings
  const failedRankOf = (worker: Worker): FailedRank | null =>
    worker.report === null ? null : failedRank(worker.report)
  for (const worker of run.work) {
    const { role } = worker
    if (role.spec.kind !== 'torchrun' || role.rankFailed !== null) continue
    if (!live(worker) || worker.record.ending !== null || exitOf(worker) !== null) continue
    const failed = failedRankOf(worker)
    if (failed !== null)
      role.rankFailed = { at: ctx.now, by: { by: 'rank', worker: worker.id, rank: failed.rank.rank } }
  }
  for (const role of run.roles) {
    if (role.rankFailed === null || role.restart !== null || !role.spec.failFast) continue
    const dueAt = role.rankFailed.at + rankFailureMs
    if (ctx.now < dueAt) wakeAt(ctx, run, dueAt)
    else
      for (const peer of role.workers)
        if (live(peer) && peer.record.ending === null && exitOf(peer) === null && failedRankOf(peer) === null)
          endingOf(ctx, peer, role.rankFailed.by, null)
  }
}
