/** What follows from the answer to an order, or from its fault. */
import type { Fault, FaultBody } from '../../protocol/faults.ts'
import type { ForkReport } from '../../protocol/shapes.ts'
import type { OrderVerb, ReplyOf } from '../../protocol/table.ts'
import { backoff } from './backoff.ts'
import { abortGang } from './gangs.ts'
import { onEvidence, onInventory } from './membership.ts'
import type { CoordinatorEvent } from './messages.ts'
import { noteStore } from './node-usage.ts'
import type { WorkVerb } from './orders.ts'
import { applyReport } from './reports.ts'
import { onSignalled } from './signal-request.ts'
import { phaseOrder } from './stages.ts'
import type { Ctx, NodeLive, OrderContext, Worker } from './types.ts'
import { update } from './update.ts'
import { currentFork } from './worker.ts'

type Result = Extract<CoordinatorEvent, { kind: 'order-result' }>

export function onOrderResult(ctx: Ctx, result: Result): void {
  const context = ctx.s.orders.get(result.id)
  if (context === undefined) return
  ctx.s.orders.delete(result.id)
  switch (context.verb) {
    case 'prepare':
    case 'start':
    case 'kill':
    case 'cancel':
      return onWorkResult(ctx, context, result)
    case 'inventory': {
      const { node } = context
      const asked = node.inventory
      if (asked?.id !== result.id) return
      node.inventory = null
      if (result.fault !== null) return noticeFault(ctx, node, context.incarnation, result.fault)
      return onInventory(ctx, node, asked, result.reply as ReplyOf<'node.inventory'>)
    }
    case 'release':
    case 'strays':
      return onNodeResult(ctx, context, result)
    case 'adopt':
      return void ctx.out.push(
        result.fault === null
          ? { kind: 'reply', request: context.request, body: {} }
          : { kind: 'refuse', request: context.request, fault: result.fault },
      )
    case 'signal':
      return onSignalled(ctx, context, result.fault)
    default:
      return context satisfies never
  }
}

function onNodeResult(
  ctx: Ctx,
  context: Extract<OrderContext, { verb: 'release' | 'strays' }>,
  result: Result,
): void {
  const { node } = context
  if (node.incarnation !== context.incarnation) return
  if (node.releaseOrder === result.id) node.releaseOrder = null
  if (node.strayOrder === result.id) node.strayOrder = null
  if (result.fault !== null) {
    node.retryAt = ctx.now + backoff(ctx.s.settings.orderRetryMs, node.tries++)
    ctx.out.push({ kind: 'timer', at: node.retryAt, timer: { of: 'node', node: node.name } })
    return noticeFault(ctx, node, context.incarnation, result.fault)
  }
  node.tries = 0
  if (context.verb === 'release') for (const forkId of context.forks) node.release.delete(forkId)
  else {
    for (const forkId of context.forks) node.strays.delete(forkId)
    for (const report of (result.reply as { forks: ForkReport[] }).forks) {
      // not over yet: its agent tells when it is, and a stray that is told again is not ordered again before
      // that
      if (phaseOrder(report) >= 6) applyReport(ctx, node, report, null, true)
    }
  }
}

/**
 * No answer from where one listened: nobody is there any more. An unknown store: a person has to say that it
 * is right.
 */
function noticeFault(ctx: Ctx, node: NodeLive, incarnation: string, fault: FaultBody): void {
  if (fault.code === 'CONN' && ctx.s.linkUpAt !== null)
    onEvidence(ctx, node, incarnation, 'its agent does not answer: nobody listens there')
  if (fault.code === 'STORE_UNKNOWN') noteStore(ctx, node, true)
}

const AGAIN_LATER: ReadonlySet<string> = new Set<Fault['code']>([
  'CONN',
  'TIMEOUT',
  'EXPIRED',
  'OVERLOADED',
  'STALE_EPOCH',
  'STORE_UNKNOWN',
  'NOT_LEADER',
])

function onWorkResult(ctx: Ctx, context: Extract<OrderContext, { verb: WorkVerb }>, result: Result): void {
  const { node, verb } = context
  const workers = context.workers.filter(
    (worker, i) => worker.record.attempt === context.attempts[i] && worker.order?.id === result.id,
  )
  for (const worker of workers) {
    update(ctx, worker, { order: null })
  }
  if (node.incarnation !== context.incarnation) return
  if (result.fault !== null) {
    noticeFault(ctx, node, context.incarnation, result.fault)
    return onWorkFault(ctx, verb, workers, result.fault)
  }
  const { forks, token } = result.reply as { forks: ForkReport[]; token?: string }
  const told = new Map(forks.map((report) => [report.forkId, report]))
  for (const worker of workers) {
    const report = told.get(currentFork(worker))
    // what is answered again carries its first stamp, which lies before the question
    if (worker.tries === 0 && !worker.startSent && verb === 'prepare')
      measureClock(node, report?.preparedAt ?? null, result)
    if (worker.tries === 0 && verb === 'start') measureClock(node, report?.startedAt ?? null, result)
    worker.tries = 0
    if (verb === 'prepare' && report !== undefined && token !== undefined) {
      worker.token = token
      if (worker.gang !== null) worker.gang.recheck = true
      worker.gang?.unprepared.delete(worker)
    }
    if (verb === 'kill' || verb === 'cancel')
      worker.killAcked = {
        graceMs: verb === 'cancel' ? 0 : context.graces![context.workers.indexOf(worker)]!,
        incarnation: context.incarnation,
      }
  }
  for (const report of forks) applyReport(ctx, node, report, null)
}

/**
 * An agent stamped this between our question and its answer. The closest bounds are kept, until a clock is
 * set anew.
 */
function measureClock(node: NodeLive, stamp: number | null, { sentWall, gotWall }: Result): void {
  if (stamp === null) return
  const next = { lo: stamp - gotWall - 1, hi: stamp - sentWall + 1 }
  const old = node.offset
  if (old === null || next.hi - next.lo <= old.hi - old.lo || next.lo > old.hi || next.hi < old.lo)
    node.offset = next
}

function onWorkFault(ctx: Ctx, verb: OrderVerb, workers: Worker[], fault: FaultBody): void {
  const { settings } = ctx.s
  for (const worker of workers) {
    worker.retryAt = ctx.now + backoff(settings.orderRetryMs, worker.tries++)
    if (verb === 'start' && fault.code !== 'EXPIRED') worker.startUnsure = true
    if (verb === 'start' && fault.code === 'EXPIRED') {
      // read too late, or the prepare lapsed: either way nothing was started, and a prepare answers with what
      // is still held
      if (!worker.startUnsure) worker.startSent = false
      worker.token = null
      worker.gang?.unprepared.add(worker)
    }
  }
  if (AGAIN_LATER.has(fault.code) || (verb !== 'prepare' && verb !== 'start')) return
  const [blame] = workers
  if (blame?.gang == null) return
  // what we count says that there is room: others of the machine have it, or who shares it; it fits after
  // they have ended
  const busy = verb === 'prepare' && fault.code === 'GPU_ALLOC'
  if (busy)
    blame.role.busy = {
      text: `${blame.record.node}: ${fault.message}`,
      tries: (blame.role.busy?.tries ?? 0) + 1,
    }
  abortGang(ctx, blame.gang, {
    text: `${blame.id} could not be ${verb === 'prepare' ? 'prepared' : 'started'} on ${blame.record.node}: ${fault.message}`,
    code: 125,
    retry: busy ? 'busy' : fault.retryable || fault.code === 'CANCELLED' ? 'again' : 'never',
    blame,
    exit: null,
  })
}
