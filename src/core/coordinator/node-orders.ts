/** Orders to a node about forks that are over or must not run: one of each kind in hand. */
import { isReachable } from './nodes.ts'
import { GIVEN_UP } from './orders.ts'
import type { Ctx, NodeLive } from './types.ts'

/** Forget what is over, end what must not run: one order of each kind in hand for a node. */
export function giveNodeOrders(ctx: Ctx, node: NodeLive): void {
  if (!isReachable(node) || node.retryAt > ctx.now) return
  if (node.release.size > 0 && node.releaseOrder === null) {
    const forks = [...node.release].slice(0, 500)
    node.releaseOrder = nodeOrder(ctx, node, 'release', forks)
  }
  if (node.strays.size > 0 && node.strayOrder === null) {
    const forks = [...node.strays].slice(0, 500)
    node.strayOrder = nodeOrder(ctx, node, 'strays', forks)
  }
}

function nodeOrder(
  ctx: Ctx,
  node: NodeLive & { incarnation: string },
  what: 'release' | 'strays',
  forks: string[],
): number {
  const id = ++ctx.s.counter
  const base = {
    id,
    node: node.name,
    incarnation: node.incarnation,
    timeoutMs: ctx.s.settings.orderAllowanceMs + 1000,
  }
  ctx.s.orders.set(id, { verb: what, node, incarnation: node.incarnation, forks })
  ctx.out.push({
    kind: 'order',
    order:
      what === 'release'
        ? { ...base, verb: 'release', body: { forks } }
        : { ...base, verb: 'cancel', body: { forks, killedBy: GIVEN_UP } },
  })
  return id
}
