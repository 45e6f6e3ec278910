/**
 * Workers that hold the others up: slow to join, slow to start, or with a stale heartbeat. Reading never
 * writes.
 */
import { isTerminal, type Straggler } from '../../protocol/shapes.ts'
import { onOurClock } from './first-failure.ts'
import { live } from './stages.ts'
import type { Ctx, Run, Worker } from './types.ts'
import { viewOf } from './worker.ts'

/** Slow to join, slow to start, a stale heartbeat: by rank where there are ranks. */
export function stragglersOf(ctx: Ctx, run: Run): Straggler[] {
  const { stragglerMs, suspectAfterMs } = ctx.s.settings
  const list: Straggler[] = []
  if (isTerminal(run.record.state)) return list
  for (const role of run.roles) {
    const rankOf = (worker: Worker): { rank?: number } =>
      role.spec.kind === 'torchrun' && viewOf(worker).ranks[0] !== undefined
        ? { rank: viewOf(worker).ranks[0]!.rank }
        : {}
    const starts: { worker: Worker; at: number; rank?: number }[] = []
    for (const worker of role.workers) {
      if (!live(worker)) continue
      const node = ctx.s.nodes.get(worker.record.node ?? '')
      const silentMs = node === undefined ? 0 : ctx.now - node.beatAt
      if (node !== undefined && silentMs >= suspectAfterMs)
        list.push({
          worker: worker.id,
          ...rankOf(worker),
          kind: 'heartbeat',
          ms: silentMs,
          text: `node ${node.name} has not been heard for ${(silentMs / 1000).toFixed(1)} s`,
        })
      const { startedAt, ranks } = viewOf(worker)
      if (startedAt === null) {
        const waitedMs = ctx.now - worker.orderedAt
        if (worker.orderedAt > 0 && waitedMs >= stragglerMs)
          list.push({
            worker: worker.id,
            kind: 'join',
            ms: waitedMs,
            text: `not started ${(waitedMs / 1000).toFixed(1)} s after it was ordered on ${worker.record.node}`,
          })
        continue
      }
      const at = (nodeWall: number): number => {
        const { lo, hi } = onOurClock(node, nodeWall, ctx.wall)
        return Number.isFinite(lo) ? (lo + hi) / 2 : nodeWall
      }
      starts.push({ worker, at: at(startedAt) })
      for (const rank of ranks)
        if (rank.startedAt !== null && rank.restart === 0)
          starts.push({ worker, at: at(rank.startedAt), rank: rank.rank })
    }
    for (const ofRanks of [false, true]) {
      const of = starts.filter((start) => (start.rank !== undefined) === ofRanks)
      const first = Math.min(...of.map((start) => start.at))
      for (const { worker, at, rank } of of)
        if (at - first >= stragglerMs)
          list.push({
            worker: worker.id,
            ...(rank !== undefined && { rank }),
            kind: 'start',
            ms: at - first,
            text: `started ${((at - first) / 1000).toFixed(1)} s after the first of ${role.spec.name}`,
          })
    }
  }
  return list
}
