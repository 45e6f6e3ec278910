/** The request that sends a signal to workers, or to one of their ranks. */
import { Fault } from '../../protocol/faults.ts'
import type { RequestOf } from './messages.ts'
import { isReachable } from './nodes.ts'
import { reply } from './reply.ts'
import { live } from './stages.ts'
import { ownTarget } from './targets.ts'
import type { Ctx } from './types.ts'
import { currentFork, exitOf, startedAtOf } from './worker.ts'

export function signal(ctx: Ctx, request: RequestOf<'signal'>): void {
  const { body } = request
  const found = ownTarget(ctx, request)
  let { workers } = found
  if (body.rank !== undefined) {
    const { rank } = body
    workers = workers.filter(
      (worker) =>
        worker.role.spec.kind === 'torchrun' &&
        (worker.report?.ranks.some((one) => one.rank === rank) ?? false),
    )
    if (workers.length === 0)
      throw new Fault(
        'WORKER_NOT_FOUND',
        `no rank ${rank} of ${body.run}${body.role === undefined ? '' : `/${body.role}`} runs`,
      )
  }
  const told: string[] = []
  for (const worker of workers) {
    const node = worker.record.node === null ? undefined : ctx.s.nodes.get(worker.record.node)
    if (!live(worker) || exitOf(worker) !== null || startedAtOf(worker) === null || !isReachable(node))
      continue
    const id = ++ctx.s.counter
    ctx.s.orders.set(id, { verb: 'signal' })
    ctx.out.push({
      kind: 'order',
      order: {
        id,
        node: node.name,
        incarnation: node.incarnation,
        verb: 'signal',
        body: { forkId: currentFork(worker), signal: body.signal, rank: body.rank ?? null },
        timeoutMs: 1000,
      },
    })
    told.push(worker.id)
  }
  reply(ctx, request, { workers: told })
}
