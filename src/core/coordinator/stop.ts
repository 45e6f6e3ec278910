/**
 * Ending workers: whose turn it is, and why. With `reverse` a role is stopped when all that depend on it are
 * gone; with `parallel`, after a failure, and for a kill, all are told at once. The order itself is
 * orders.ts's, the ladder is the agent's.
 */
import { type Cause, causeText } from '../../protocol/causes.ts'
import { GONE } from './ends.ts'
import { dissolve } from './gangs.ts'
import { unreserve } from './node-usage.ts'
import { isReachable } from './nodes.ts'
import { endWorker, neverStarted } from './reports.ts'
import { live } from './stages.ts'
import { goOn } from './timers.ts'
import type { Ctx, RoleLive, Run, Worker } from './types.ts'
import { update } from './update.ts'
import { startedAtOf } from './worker.ts'

type Stopping = NonNullable<Run['record']['stopping']>

export function beginStop(ctx: Ctx, run: Run, stop: Omit<Stopping, 'at'>): void {
  for (const role of run.roles) {
    role.restart = null
    role.stop = { pass: 'none', next: -1 }
    for (const gang of role.gangs) dissolve(ctx, gang)
  }
  update(ctx, run, { record: { stopping: { ...stop, at: ctx.wall } } })
}

/** A person stops the run: by name, and with the code of a Ctrl-C. */
export function cancelRun(ctx: Ctx, run: Run, by: Cause, kill: boolean): void {
  beginStop(ctx, run, { by, why: 'cancelled', text: `stopped by ${causeText(by)}`, code: 130, kill })
}

/** Tell a worker to end. What it was told first stays the reason; a kill makes the grace shorter. */
export function endingOf(ctx: Ctx, worker: Worker, killedBy: Cause, graceMs: number | null): void {
  if (!live(worker)) return
  if (graceMs !== null) update(ctx, worker, { graceMs: Math.min(worker.graceMs ?? Infinity, graceMs) })
  if (worker.record.ending === null) update(ctx, worker, { record: { ending: killedBy }, retryAt: 0 })
  else update(ctx, worker, {})
}

function isOver(role: RoleLive): boolean {
  return role.counts.waiting + role.counts.ended === role.workers.length
}

/** Failures and kills do not wait for an order of things. */
function atOnce(run: Run, role: RoleLive): boolean {
  const { stopping } = run.record
  return (
    stopping!.kill ||
    stopping!.why === 'failed' ||
    stopping!.why === 'could-not-start' ||
    stopping!.why === 'lost' ||
    stopping!.why === 'restart' ||
    role.spec.stop.order === 'parallel'
  )
}

/** What has been told to more, or more urgently, is not told again. */
const PASSES: readonly RoleLive['stop']['pass'][] = ['none', 'unstarted', 'stop', 'kill']

/**
 * Go on with a stop: tell the roles whose turn it is, as many workers as a step may handle, the last ones
 * first.
 */
export function advanceStop(ctx: Ctx, run: Run): void {
  const stopping = run.record.stopping!
  for (const role of run.roles) {
    const turn = atOnce(run, role) || role.dependents.every(isOver)
    const pass = turn ? (stopping.kill ? 'kill' : 'stop') : 'unstarted'
    if (PASSES.indexOf(pass) > PASSES.indexOf(role.stop.pass))
      role.stop = { pass, next: role.workers.length - 1 }
    for (; role.stop.next >= 0; role.stop.next--) {
      if (ctx.left <= 0) return goOn(ctx, run)
      ctx.left--
      const worker = role.workers[role.stop.next]!
      if (worker.record.phase === 'waiting') unreserve(ctx, worker)
      // what has not been started is called off at once, whoever depends on it
      else if (turn || startedAtOf(worker) === null) endingOf(ctx, worker, stopping.by, null)
    }
  }
}

/**
 * Told to end, no start ever left for it, and its node cannot be asked: nothing runs, and its prepare lapses
 * there.
 */
export function endNeverStarted(ctx: Ctx, run: Run): void {
  for (const worker of run.work) {
    if (!live(worker) || worker.record.ending === null || !neverStarted(worker)) continue
    const node = ctx.s.nodes.get(worker.record.node!)
    if (!isReachable(node)) endWorker(ctx, worker, null, { ...GONE, reason: 'it was never started' })
  }
}

export function isStopped(run: Run): boolean {
  return run.roles.every(isOver)
}
