/**
 * Orders to agents about workers: which one a worker needs now. Level-triggered: an order that was lost is
 * simply needed still, and all orders may be given twice. One order for each node, whatever the number of
 * workers. order-results.ts has what follows from an answer.
 */
import { type Cause, isBy } from '../../protocol/causes.ts'
import { forkSpecOf } from './fork-spec.ts'
import type { OrderOf } from './messages.ts'
import { isReachable } from './nodes.ts'
import { inParts } from './order-parts.ts'
import { goOn, wakeAt } from './timers.ts'
import type { Ctx, NodeLive, Run, Worker } from './types.ts'
import { currentFork } from './worker.ts'

export const GIVEN_UP: Cause = { by: 'attempt' }

export type WorkVerb = 'prepare' | 'start' | 'kill' | 'cancel'

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
