/** Reports, exits, ranks and faults as a story's agents tell them. */
import { Fault, type FaultBody } from '../../../src/protocol/faults.ts'
import type { Exit, RankReport } from '../../../src/protocol/shapes.ts'

export const WALL = 1_700_000_000_000

export function exitOf(exit: Partial<Exit>): Exit {
  return { code: null, signal: null, oom: null, unknown: null, killedBy: null, ...exit }
}

export function fault(code: ConstructorParameters<typeof Fault>[0], message: string = code): FaultBody {
  return new Fault(code, message).toBody()
}

export function rankOf(
  rank: number,
  exit: Partial<Exit> | null,
  exitedAt: number | null = null,
  restart = 0,
): RankReport {
  return {
    rank,
    localRank: rank % 2,
    restart,
    pid: 1000 + rank,
    state: exit === null ? 'running' : 'exited',
    exit: exit === null ? null : exitOf(exit),
    startedAt: WALL,
    exitedAt,
  }
}
