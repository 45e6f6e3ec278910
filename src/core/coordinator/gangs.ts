/**
 * Gangs: the workers of a role that are placed, prepared and started together, or not at all. A gang goes on
 * by what its agents say; nothing runs before all are prepared. Any fault voids the attempt: all of it is
 * cancelled, and the next has new ids and ports.
 */
import { avoid } from './node-usage.ts'
import { nodeFor } from './nodes.ts'
import { live } from './stages.ts'
import { goOn } from './timers.ts'
import type { Abort, Ctx, Gang, RoleLive, Worker } from './types.ts'
import { update } from './update.ts'
import { startedAtOf } from './worker.ts'

function newGang(role: RoleLive, workers: Worker[]): Gang {
  return {
    role,
    workers,
    unprepared: new Set(workers),
    unstarted: new Set(workers),
    bindings: null,
    recheck: true,
    abort: null,
    gone: 0,
  }
}

/** The gang has all its workers, or will get no more. */
function endFilling(ctx: Ctx, role: RoleLive): void {
  role.filling = null
  unmarkLaunch(ctx, role)
}

function unmarkLaunch(ctx: Ctx, { run, spec }: RoleLive): void {
  const { launching } = run.record
  if (launching?.[spec.name] !== undefined)
    update(ctx, run, { record: { launching: without(launching, spec.name) } })
}

function without<T>(map: Readonly<Record<string, T>>, key: string): Record<string, T> {
  const { [key]: _, ...others } = map
  return others
}

/**
 * Decide on a new attempt of these workers, each on the node that is reserved for it: as many as a step may
 * handle. The others join the same gang in the next steps; STATE names the attempt until it has all of them.
 * The intent is in STATE before any order leaves.
 */
export function launchGang(ctx: Ctx, role: RoleLive, waiting: readonly Worker[]): void {
  const { run, spec } = role
  // an elastic role is launched at once: a worker without a place would look left out
  const most = spec.minReplicas < spec.replicas ? waiting.length : ctx.left
  if (most <= 0) return goOn(ctx, run)
  const attempt =
    run.record.launching?.[spec.name] ??
    waiting.reduce((last, worker) => Math.max(last, worker.record.attempt), 0) + 1
  const workers = waiting.slice(0, most)
  const gang = role.filling ?? newGang(role, [])
  role.gangs.add(gang)
  if (run.record.firstDoneAt !== undefined)
    update(ctx, run, { record: { firstDoneAt: without(run.record.firstDoneAt, spec.name) } })
  role.rankFailed = null
  role.ranksOverAt = null
  ctx.left -= workers.length
  endFilling(ctx, role)
  if (workers.length < waiting.length) {
    role.filling = gang
    update(ctx, run, { record: { launching: { ...run.record.launching, [spec.name]: attempt } } })
    goOn(ctx, run)
  }
  for (const worker of workers) {
    gang.workers.push(worker)
    gang.unprepared.add(worker)
    gang.unstarted.add(worker)
    const node = ctx.s.nodes.get(worker.record.node!)
    update(ctx, worker, {
      record: {
        attempt,
        incarnation: node?.incarnation ?? null,
        phase: 'placed',
        ending: null,
        last: null,
      },
      gang,
      ...newAttempt(),
    })
  }
}

/** What is known of an attempt that nobody has been told of. */
function newAttempt() {
  return {
    report: null,
    rev: -1,
    token: null,
    startSent: false,
    startUnsure: false,
    order: null,
    retryAt: 0,
    tries: 0,
    killAcked: null,
    graceMs: null,
    spoolLost: false,
    judged: false,
    everReady: false,
    releasable: false,
    lostTold: false,
  }
}

/**
 * After a failover: what is placed and was not seen started goes on as one gang, as its agents' inventories
 * will say.
 */
export function recoverGang(role: RoleLive): void {
  const workers = role.workers.filter(
    (worker) => live(worker) && worker.record.ending === null && startedAtOf(worker) === null,
  )
  const filling = role.run.record.launching?.[role.spec.name] !== undefined
  if (workers.length === 0 && !filling) return
  const gang = newGang(role, workers)
  if (filling) role.filling = gang
  for (const worker of workers) worker.gang = gang
  role.gangs.add(gang)
}

export function dissolve(ctx: Ctx, gang: Gang): void {
  gang.role.gangs.delete(gang)
  if (gang.role.filling === gang) endFilling(ctx, gang.role)
  for (const worker of gang.workers) if (worker.gang === gang) worker.gang = null
}

export function abortGang(ctx: Ctx, gang: Gang, abort: Omit<Abort, 'at'>): void {
  if (gang.abort !== null) return
  gang.abort = { ...abort, at: ctx.wall }
  // the others stay where they are until all of the attempt is over
  if (gang.role.filling === gang) unmarkLaunch(ctx, gang.role)
  if (abort.blame !== null) {
    const node = nodeFor(ctx, abort.blame)
    if (node !== undefined) avoid(ctx, node, ctx.now + 30_000)
  }
  for (const worker of gang.workers) {
    if (!live(worker)) continue
    update(ctx, worker, { record: { ending: worker.record.ending ?? { by: 'attempt' } }, retryAt: 0 })
  }
}

export function isAborted(gang: Gang): boolean {
  if (gang.abort === null) return false
  // those before it are over, and stay so
  while (gang.gone < gang.workers.length && !live(gang.workers[gang.gone]!)) gang.gone++
  return gang.gone === gang.workers.length
}
