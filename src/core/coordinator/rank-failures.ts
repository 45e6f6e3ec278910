/** Ranks end before their torchrun: peers hear of a failed one at once; none waits for who is gone. */
import { outcomeOf } from './outcome.ts'
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

/**
 * A torchrun whose ranks have all ended waits for its peers, for minutes, before it ends. Where one is gone
 * for good, and `failFast` did not end the others, nobody would come: they are ended.
 */
export function endLeftLaunchers(ctx: Ctx, run: Run): void {
  if (run.record.firstFailure === null) return
  for (const role of run.roles) {
    if (role.spec.kind !== 'torchrun' || role.spec.failFast || role.restart !== null) continue
    const gone = role.workers.find((worker) => outcomeOf(worker) === 'failed')
    const left = role.workers.filter((worker) => live(worker) && exitOf(worker) === null)
    if (
      gone === undefined ||
      left.length === 0 ||
      !left.every((worker) => areOver(worker, role.spec.nproc))
    ) {
      role.ranksOverAt = null
      continue
    }
    role.ranksOverAt ??= ctx.now
    const dueAt = role.ranksOverAt + ctx.s.settings.launcherEndMs
    if (ctx.now < dueAt) wakeAt(ctx, run, dueAt)
    else
      for (const worker of left)
        if (worker.record.ending === null) endingOf(ctx, worker, { by: 'peer', worker: gone.id }, null)
  }
}

function areOver({ report }: Worker, nproc: number): boolean {
  return report?.ranks.length === nproc && report.ranks.every(({ exit }) => exit !== null)
}
