/**
 * `fenceAfter`: an agent ends such a worker when nobody has spoken to it for T, and the worker's own shim
 * does when the agent is dead or frozen. After T, its grace and a margin since the last beat the tree is gone
 * as far as anybody can know, and the worker may be placed again.
 */
import { lostExit } from './ends.ts'
import { endWorker } from './reports.ts'
import { live } from './stages.ts'
import type { Ctx, NodeLive } from './types.ts'
import { currentFork } from './worker.ts'

export function checkFences(ctx: Ctx, node: NodeLive): void {
  if (ctx.s.frozen || ctx.s.linkUpAt === null) return
  const silentMs = ctx.now - Math.max(node.beatAt, ctx.s.linkUpAt)
  for (const worker of node.workers) {
    const { fenceAfterMs, stop } = worker.role.spec
    if (
      fenceAfterMs === null ||
      !live(worker) ||
      silentMs < fenceAfterMs + stop.graceMs + ctx.s.settings.fenceMarginMs
    )
      continue
    const forkId = currentFork(worker)
    ctx.s.fenced.set(forkId, node.name)
    ctx.ops.push({ op: 'fenced', forkId, node: node.name })
    endWorker(
      ctx,
      worker,
      {
        ...lostExit(`node ${node.name} was silent; fenced after ${fenceAfterMs / 1000} s`),
        killedBy: { by: 'fence' },
      },
      {
        outcome: 'gone',
        survivors: [],
        reason: 'its agent, or else its shim, ends it when nobody speaks to them',
        ms: silentMs,
      },
    )
  }
}
