/**
 * What agents say of forks, and what follows for the worker: one way to learn a fact, however it is heard.
 * Facts only move forward; those of another attempt, or of a node where the fork was not placed, change
 * nothing.
 */
import { forkIdOf } from '../../protocol/names.ts'
import type { Exit, ForkReport, Receipt } from '../../protocol/shapes.ts'
import { GONE, lostExit } from './ends.ts'
import { noteUsage, vacate } from './node-usage.ts'
import { toRelease, toStray } from './nodes.ts'
import { phaseOrder } from './stages.ts'
import type { Ctx, NodeLive, Worker } from './types.ts'
import { update } from './update.ts'
import { lastAtEnd, lastOf, startedAtOf } from './worker.ts'

/**
 * @param rev  null for what an order's answer says: it is not numbered. @param whole  from an inventory: what
 * is over has not been forgotten yet
 */
export function applyReport(
  ctx: Ctx,
  node: NodeLive,
  report: ForkReport,
  rev: number | null,
  whole = false,
): void {
  // what it names is what it is about: a fork is known by its id, and by its worker
  if (report.forkId !== forkIdOf(report.run, report.role, report.index, report.attempt)) return
  const run = ctx.s.runs.get(report.run)
  const worker = run?.byRole.get(report.role)?.workers[report.index]
  const over = report.phase === 'gone' || report.phase === 'cancelled'
  if (over && node.unowned.delete(report.forkId)) noteUsage(ctx, node)
  if (ctx.s.fenced.get(report.forkId) === node.name) return applyFenced(ctx, node, report)
  if (worker === undefined || report.attempt > worker.record.attempt) {
    // of a run that this store does not know: what is over may be forgotten, what lives is alarmed and left
    // alone
    if (over) toRelease(ctx, node, report.forkId)
    else if (report.phase !== 'prepared' && !node.unowned.has(report.forkId)) {
      node.unowned.set(report.forkId, { gpus: report.gpus.length, cpus: report.cores.length })
      noteUsage(ctx, node)
      ctx.out.push({
        kind: 'log',
        level: 'warn',
        fields: {
          msg: 'a fork that no run knows: listed, not ended',
          node: node.name,
          forkId: report.forkId,
          phase: report.phase,
          pid: report.pid,
        },
      })
    }
    return
  }
  if (report.attempt < worker.record.attempt) {
    return notWanted(ctx, node, report, over, whole)
  }
  // its attempt is over and in an entry, and the next has not begun
  if (worker.record.phase === 'waiting') return notWanted(ctx, node, report, over, whole)
  if (worker.record.phase === 'ended') {
    // its end was decided without its agent's word, which comes only now: released here, or with the entry
    // that is still to be written. Another node's word is none of it.
    if (over && !whole && worker.report === null)
      return worker.releasable || worker.record.node !== node.name
        ? toRelease(ctx, node, report.forkId)
        : update(ctx, worker, { report })
    // else it was released when its end was recorded; an inventory that still shows it has not heard that
    return whole && (worker.releasable || !over) ? notWanted(ctx, node, report, over, whole) : undefined
  }
  if (worker.record.node !== node.name) {
    ctx.out.push({
      kind: 'log',
      level: 'warn',
      fields: {
        msg: 'a report about a fork that was not placed there is dropped',
        node: node.name,
        forkId: report.forkId,
      },
    })
    return
  }
  if (isNews(worker, report, rev)) accept(ctx, worker, report, over)
}

/** Only an inventory shows what lives now: a fact told again may be about what has been forgotten since. */
function notWanted(ctx: Ctx, node: NodeLive, report: ForkReport, over: boolean, whole: boolean): void {
  if (over) toRelease(ctx, node, report.forkId)
  else if (whole) toStray(ctx, node, report.forkId)
}

/**
 * Its end was decided without its agent's word (by force): it must not run, and once that is proven the fence
 * is down.
 */
function applyFenced(ctx: Ctx, node: NodeLive, report: ForkReport): void {
  if (report.phase !== 'gone' && report.phase !== 'cancelled') return void toStray(ctx, node, report.forkId)
  ctx.s.fenced.delete(report.forkId)
  ctx.ops.push({ op: 'unfenced', forkId: report.forkId })
  toRelease(ctx, node, report.forkId)
}

/** Facts only move forward. */
function isNews(worker: Worker, report: ForkReport, rev: number | null): boolean {
  const old = worker.report
  if (old !== null) {
    const step = phaseOrder(report) - phaseOrder(old)
    if (step < 0 || (step === 0 && (rev === null ? report.phase !== 'prepared' : rev < worker.rev)))
      return false
  }
  if (rev !== null) worker.rev = Math.max(worker.rev, rev)
  return true
}

function accept(ctx: Ctx, worker: Worker, report: ForkReport, over: boolean): void {
  const before = worker.record.last
  const hasStarted = before?.startedAt == null && report.startedAt !== null
  const hasRanks = report.ranks.length > (before?.ranks.length ?? 0)
  update(ctx, worker, { report })
  // pid, addresses and ranks go with the start, in an entry that is shared: a later leader shows them for a
  // node that it cannot hear
  update(
    ctx,
    worker,
    { record: { last: lastOf(worker, ctx.wall) } },
    hasStarted || hasRanks ? 'soon' : 'along',
  )
  if (report.ready) worker.everReady = true
  if (report.exit !== null && !worker.judged) worker.run.exits.add(worker)
  if (!over) return
  if (report.phase === 'cancelled' && report.startedAt === null)
    endWorker(
      ctx,
      worker,
      worker.spoolLost ? lostExit('its node lost its spool') : report.exit,
      report.receipt ?? { ...GONE, reason: 'it was never started' },
    )
  else endWorker(ctx, worker, report.exit, report.receipt ?? GONE)
}

/** Nothing of this attempt runs or will: proven by its agent, or decided by force. Its resources are free. */
export function endWorker(ctx: Ctx, worker: Worker, exit: Exit | null, receipt: Receipt): void {
  const { record, report, run } = worker
  // decided without its agent's word: the order is the cause, unless the spool was lost
  const cause = !worker.spoolLost && report?.exit === null ? record.ending : null
  const last = lastAtEnd(worker, exit && { ...exit, killedBy: exit.killedBy ?? cause }, receipt)
  update(ctx, worker, { record: { phase: 'ended', last } }, 'soon')
  worker.gang?.unprepared.delete(worker)
  worker.gang?.unstarted.delete(worker)
  vacate(ctx, record.node === null ? undefined : ctx.s.nodes.get(record.node), worker)
  if (exit !== null && !worker.judged) run.exits.add(worker)
  // one of many ends: it shares an entry, unless a decision needs it
  const { counts } = worker.role
  if (counts.ended + counts.waiting === worker.role.workers.length) update(ctx, run, { record: {} })
}

/** An attempt of which nothing was ever started, for certain: no start left for it in this leader's time. */
export function neverStarted(worker: Worker): boolean {
  return !worker.startSent && startedAtOf(worker) === null
}
