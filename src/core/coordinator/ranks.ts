/** Which rank of a torchrun agent failed first. */
import type { Exit, ForkReport, RankReport } from '../../protocol/shapes.ts'
import { exitedCleanly } from './exit-code.ts'

export interface FailedRank {
  rank: RankReport
  exit: Exit
}

/**
 * The first failed rank of a torchrun agent: by its own time of exit, in torch's last restart. torchrun ends
 * the others with SIGTERM (then SIGKILL), so a rank that was killed by these after another failed is a
 * consequence.
 */
export function failedRank(report: Pick<ForkReport, 'ranks'>): FailedRank | null {
  const restart = Math.max(0, ...report.ranks.map((rank) => rank.restart))
  const failed = report.ranks
    .filter(
      (rank) =>
        rank.restart === restart &&
        rank.exit !== null &&
        !exitedCleanly(rank.exit) &&
        rank.exit.killedBy === null,
    )
    .toSorted((a, b) => (a.exitedAt ?? Infinity) - (b.exitedAt ?? Infinity) || a.rank - b.rank)
  const cause = failed.find((rank) => rank.exit!.signal !== 'SIGTERM') ?? failed[0]
  return cause === undefined ? null : { rank: cause, exit: cause.exit! }
}
