/**
 * Orders to agents about workers: which one a worker needs now, and what follows from its answer.
 * Level-triggered: an order that was lost is simply needed still, and all orders may be given twice. One
 * order for each node, whatever the number of workers.
 */
import { type Cause, isBy } from '../../protocol/causes.ts'
import type { Fault, FaultBody } from '../../protocol/faults.ts'
import type { ForkReport } from '../../protocol/shapes.ts'
import type { OrderVerb, ReplyOf } from '../../protocol/table.ts'
import { abortGang, forkSpecOf, isReachable } from './gangs.ts'
import { onEvidence, onInventory } from './membership.ts'
import type { CoordinatorEvent, OrderOf } from './messages.ts'
import { noteStore } from './node-usage.ts'
import { inParts } from './order-parts.ts'
import { applyReport } from './reports.ts'
import { phaseOrder } from './stages.ts'
import { goOn, wakeAt } from './timers.ts'
import type { Ctx, NodeLive, OrderContext, Run, Worker } from './types.ts'
import { update } from './update.ts'
import { currentFork } from './worker.ts'

const GIVEN_UP: Cause = { by: 'attempt' }

type WorkVerb = 'prepare' | 'start' | 'kill' | 'cancel'

function graceOf(worker: Worker): number {
  return worker.run.record.stopping?.kill === true ? 0 : (worker.graceMs ?? worker.role.spec.stop.graceMs)
}

function needOf(ctx: Ctx, worker: Worker, node: NodeLive & { incarnation: string }): WorkVerb | null {
  const { record, report, gang } = worker
  if (record.ending !== null || worker.spoolLost) {
    const graceMs = isBy(record.ending, 'attempt') || worker.spoolLost ? 0 : graceOf(worker)
    if (
      worker.killAcked !== null &&
      worker.killAcked.incarnation === node.incarnation &&
      worker.killAcked.graceMs <= graceMs
    )
      return null
    return isBy(record.ending, 'attempt') || worker.spoolLost || report === null ? 'cancel' : 'kill'
  }
  if (gang === null || gang.abort !== null || !gang.unstarted.has(worker)) return null
  if (gang.unprepared.has(worker)) return 'prepare'
  return gang.unprepared.size === 0 && gang.bindings !== null && worker.token !== null ? 'start' : null
}

/** An end does not wait for the answer of a beginning, nor a shorter grace for that of a longer one. */
function outranks(worker: Worker, verb: WorkVerb): boolean {
  const { order } = worker
  if (order === null) return true
  if (verb === 'prepare' || verb === 'start') return false
  if (order.verb === 'prepare' || order.verb === 'start') return true
  return (verb === 'cancel' ? 0 : graceOf(worker)) < order.graceMs
}

/**
 * Give each worker that was looked at the order that it needs; those beyond a step's share are looked at
 * again.
 */
export function giveOrders(ctx: Ctx, run: Run): void {
  if (run.work.size === 0) return
  const groups = new Map<
    string,
    { verb: WorkVerb; node: NodeLive & { incarnation: string }; workers: Worker[] }
  >()
  const later: Worker[] = []
  for (const worker of run.work) {
    if (ctx.orders <= 0) {
      goOn(ctx, run)
      break
    }
    run.work.delete(worker)
    if (worker.record.phase !== 'placed') continue
    const node = ctx.s.nodes.get(worker.record.node!)
    if (!isReachable(node)) continue
    const verb = needOf(ctx, worker, node)
    if (verb === null || !outranks(worker, verb)) continue
    if (worker.retryAt > ctx.now) {
      wakeAt(ctx, run, worker.retryAt)
      later.push(worker)
      continue
    }
    ctx.orders--
    const key = `${node.name} ${verb} ${worker.role.spec.name} ${verb === 'start' ? worker.token : ''}`
    const group = groups.get(key)
    if (group === undefined) groups.set(key, { verb, node, workers: [worker] })
    else group.workers.push(worker)
  }
  for (const worker of later) run.work.add(worker)
  // all leave in one burst; the owner of torchrun's store is told last
  const ordered = [...groups.values()].flatMap((group) =>
    inParts(group.verb, group.workers).map((workers) => ({ ...group, workers })),
  )
  if (ordered.some(({ verb }) => verb === 'kill'))
    ordered.sort((a, b) => lowest(b.workers) - lowest(a.workers))
  for (const { verb, node, workers } of ordered) give(ctx, node, verb, workers)
}

function lowest(workers: readonly Worker[]): number {
  return workers.reduce((least, worker) => Math.min(least, worker.record.index), Infinity)
}

function give(ctx: Ctx, node: NodeLive & { incarnation: string }, verb: WorkVerb, workers: Worker[]): void {
  const id = ++ctx.s.counter
  const base = {
    id,
    node: node.name,
    incarnation: node.incarnation,
    timeoutMs: ctx.s.settings.orderAllowanceMs + 1000 + workers.length * (verb === 'start' ? 100 : 20),
  }
  const graces = workers.map(graceOf)
  const order = ((): OrderOf => {
    switch (verb) {
      case 'prepare':
        return {
          ...base,
          verb,
          body: { forks: workers.map(forkSpecOf), lapseMs: ctx.s.settings.prepareLapseMs },
        }
      case 'start': {
        const bindings = workers[0]!.gang!.bindings!.value
        return {
          ...base,
          verb,
          body: {
            token: workers[0]!.token!,
            forks: workers.map((worker) => ({ forkId: currentFork(worker), bindings })),
          },
        }
      }
      case 'kill':
        return {
          ...base,
          verb,
          body: {
            forks: workers.map((worker, i) => ({
              forkId: currentFork(worker),
              signal: graces[i] === 0 ? null : worker.role.spec.stop.signal,
              graceMs: graces[i]!,
              killedBy: worker.record.ending!,
            })),
          },
        }
      case 'cancel':
        return {
          ...base,
          verb,
          body: {
            forks: workers.map(currentFork),
            killedBy: workers[0]!.record.ending ?? GIVEN_UP,
          },
        }
      default:
        return verb satisfies never
    }
  })()
  for (const worker of workers) {
    worker.order = { id, verb, graceMs: verb === 'kill' ? graceOf(worker) : 0 }
    worker.orderedAt = ctx.now
    if (verb === 'start') worker.startSent = true
  }
  ctx.s.orders.set(id, {
    verb,
    node,
    incarnation: node.incarnation,
    workers,
    attempts: workers.map((worker) => worker.record.attempt),
    graces,
    sentAt: ctx.now,
  })
  ctx.out.push({ kind: 'order', order })
}

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
      return
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

export function backoff([first, most]: readonly [number, number], tries: number): number {
  return Math.min(most, first * 2 ** Math.min(tries, 16))
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
