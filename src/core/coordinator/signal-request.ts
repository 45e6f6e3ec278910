/** The request that sends a signal to workers, or to one of their ranks. */
import { Fault, type FaultBody } from '../../protocol/faults.ts'
import type { RequestOf } from './messages.ts'
import { isReachable } from './nodes.ts'
import { reply } from './reply.ts'
import { live } from './stages.ts'
import { ownTarget } from './targets.ts'
import type { SignalRequest } from './signal-answers.ts'
import type { Ctx, OrderContext, Worker } from './types.ts'
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
  const waiting: SignalRequest = { request: request.id, left: 0, workers: [], refused: [] }
  let ended: Worker | undefined
  for (const worker of workers) {
    if (!live(worker) || startedAtOf(worker) === null) continue
    const node = ctx.s.nodes.get(worker.record.node!)
    if (exitOf(worker) !== null) {
      ended = worker
      continue
    }
    if (!isReachable(node)) {
      const fault = new Fault('FAILED', `node ${worker.record.node} cannot be asked now`).toBody()
      waiting.refused.push({ worker: worker.id, fault })
      continue
    }
    const id = ++ctx.s.counter
    ctx.s.orders.set(id, { verb: 'signal', worker: worker.id, request: waiting })
    ctx.out.push({
      kind: 'order',
      order: {
        id,
        node: node.name,
        incarnation: node.incarnation,
        verb: 'signal',
        body: {
          forkId: currentFork(worker),
          signal: body.signal,
          rank: body.rank ?? null,
          by: request.user,
          ...(body.to !== undefined && { to: body.to }),
          ...(body.force === true && { force: true }),
        },
        timeoutMs: ANSWER_MS,
      },
    })
    waiting.left++
  }
  if (waiting.left === 0) nobodyGotIt(ctx, request, waiting, ended)
}

/** @param ended  one whose root has ended, while what it left may still run */
function nobodyGotIt(
  ctx: Ctx,
  request: RequestOf<'signal'>,
  { refused }: SignalRequest,
  ended: Worker | undefined,
): void {
  if (refused.length > 0) throw new Fault('FAILED', `${refused[0]!.worker}: ${refused[0]!.fault.message}`)
  if (ended !== undefined)
    throw new Fault('FAILED', `the root of ${ended.id} has ended; what it left running is being ended`)
  reply(ctx, request, { workers: [] })
}

/** The request itself is answered within a second. */
const ANSWER_MS = 700
const REFUSED_MAX = 20

/** An agent has answered; with the last one the request is. */
export function onSignalled(
  ctx: Ctx,
  { worker, request }: Extract<OrderContext, { verb: 'signal' }>,
  fault: FaultBody | null,
): void {
  if (fault === null) request.workers.push(worker)
  else request.refused.push({ worker, fault })
  if (--request.left > 0) return
  const { workers, refused } = request
  if (workers.length === 0)
    return void ctx.out.push({ kind: 'refuse', request: request.request, fault: refused[0]!.fault })
  const told = refused.slice(0, REFUSED_MAX).map((one) => ({ worker: one.worker, reason: one.fault.message }))
  const body = { workers, ...(told.length > 0 && { refused: told }) }
  ctx.out.push({ kind: 'reply', request: request.request, body })
}
