/** Requests about a node: it takes this state store, or nothing new is placed on it. */
import { Fault } from '../../protocol/faults.ts'
import { nodeEvent } from './events.ts'
import type { RequestOf } from './messages.ts'
import { noteUsage } from './node-usage.ts'
import { reply } from './reply.ts'
import { theNode } from './targets.ts'
import type { Ctx } from './types.ts'

/** Answered when the node has answered. */
export function adopt(ctx: Ctx, request: RequestOf<'adopt'>): void {
  const { s } = ctx
  const node = theNode(ctx, request.body.node)
  if (node.incarnation === null) throw new Fault('CONN', `node ${node.name} has not been heard`)
  const id = ++s.counter
  s.orders.set(id, { verb: 'adopt', request: request.id, node })
  ctx.out.push({
    kind: 'order',
    order: {
      id,
      node: node.name,
      incarnation: node.incarnation,
      verb: 'adopt',
      body: { storeId: s.storeId },
      timeoutMs: 800,
    },
  })
}

export function drain(ctx: Ctx, request: RequestOf<'drain'>): void {
  const { s } = ctx
  const { node: name, on } = request.body
  const node = s.drains.has(name) ? s.nodes.get(name) : theNode(ctx, name)
  if (s.drains.has(name) !== on) {
    if (on) s.drains.add(name)
    else s.drains.delete(name)
    ctx.ops.push({ op: 'drain', node: name, on })
    if (on && node !== undefined) nodeEvent(ctx, node, 'draining', `by ${request.user}`)
    if (node !== undefined) noteUsage(ctx, node)
  }
  reply(ctx, request, {})
}
