/**
 * Restarts: whether a failure is tried again, what is replaced with it, and when. What is replaced is first
 * proven gone (I2); what ended well is never started again.
 */
import { isBy } from '../../protocol/causes.ts'
import { matcherOf } from '../../protocol/launch/patterns.ts'
import { resourcesOf, type Role } from '../../protocol/launch/resolved.ts'
import type { RestartKind } from '../../protocol/records.ts'
import { withLatest } from './attempts.ts'
import { backoff } from './backoff.ts'
import { tellRestart } from './events.ts'
import { dissolve } from './gangs.ts'
import { gpusTaken, isOpen, reserve } from './node-usage.ts'
import { failedRank } from './ranks.ts'
import { live } from './stages.ts'
import { secondsText } from './seconds-text.ts'
import { endingOf } from './stop.ts'
import { wakeAt } from './timers.ts'
import { wentAway } from './outcome.ts'
import type { Ctx, Restart, RoleLive, Run, Worker } from './types.ts'
import { update } from './update.ts'
import { currentFork, exitOf, isUnproven, unprovenText, viewOf } from './worker.ts'

const matchers = new Map<string, (text: string) => boolean>()
function matches(pattern: string, text: string): boolean {
  let matcher = matchers.get(pattern)
  if (matcher === undefined) {
    if (matchers.size > 1000) matchers.clear()
    matchers.set(pattern, (matcher = matcherOf(pattern)))
  }
  return matcher(text)
}

/** The pattern of `restart.not` that a worker's last words match. */
function excludedBy(spec: Role, worker: Worker): string | null {
  const texts = [viewOf(worker).stderrTail.join('\n'), worker.report?.errorFile ?? '']
  return spec.restart.not.find((pattern) => texts.some((text) => matches(pattern, text))) ?? null
}

const NO_SCRIPT = /^\S+: can't open file .*\[Errno \d+\]/

/** The program itself, that of a rank (torchrun ends with 1 then), or the script that Python was given. */
function cannotBeExecuted(worker: Worker): boolean {
  const view = viewOf(worker)
  const exit = (worker.role.spec.kind === 'torchrun' ? failedRank(view)?.exit : null) ?? exitOf(worker)
  if (exit?.code === 126 || exit?.code === 127) return true
  const lastLine = view.stderrTail.findLast((line) => line.trim() !== '') ?? ''
  return exit?.code === 2 && NO_SCRIPT.test(lastLine)
}

export type Verdict = { again: true; backoffMs: number; text: string } | { again: false; text: string | null }

/** When each try of this kind was begun. */
export function triesOf({ record }: Run, role: string, kind: RestartKind): number[] {
  return record.restarts.find((tries) => tries.role === role && tries.kind === kind)?.at ?? []
}

/** @returns text null when the role is not restarted at all */
export function judgeRestart(ctx: Ctx, worker: Worker): Verdict {
  const { role, run } = worker
  const { policy, max, windowMs, backoffMs } = role.spec.restart
  if (policy === 'never') return { again: false, text: null }
  if (cannotBeExecuted(worker)) return { again: false, text: 'what cannot be executed is not tried again' }
  if (worker.report?.startFinal === true)
    return { again: false, text: 'what cannot be started as asked is not tried again' }
  if (isUnproven(worker)) return { again: false, text: unprovenText(worker) }
  const pattern = excludedBy(role.spec, worker)
  if (pattern !== null) return { again: false, text: `not tried again: '${pattern}' is in its last lines` }
  const counts = (at: number): boolean => windowMs === null || ctx.wall - at < windowMs
  const count = triesOf(run, role.spec.name, 'restart').filter(counts).length
  if (count >= max)
    return {
      again: false,
      text: `restarted ${count} times, the most that is allowed${windowMs === null ? '' : ` in ${secondsText(windowMs)}`}`,
    }
  return { again: true, backoffMs: backoff(backoffMs, count), text: `restart ${count + 1} of ${max}` }
}

/**
 * Workers that a restart of this one replaces; those that a person stopped, and tasks that ended well, stay
 * as they are.
 */
export function replacedBy(worker: Worker): Worker[] {
  const { role } = worker
  if (role.spec.restart.scope === 'worker' && role.spec.kind !== 'torchrun') return [worker]
  return role.workers.filter((other) => {
    if (other.record.phase === 'waiting' || isUsers(other)) return false
    return role.spec.kind !== 'task' || live(other) || other === worker || exitOf(other)?.code !== 0
  })
}

export function isUsers(worker: Worker): boolean {
  return isBy(worker.record.ending, 'user')
}

export function beginRestart(ctx: Ctx, role: RoleLive, restart: NonNullable<RoleLive['restart']>): void {
  const merged =
    role.restart === null
      ? restart
      : {
          ...restart,
          workers: [...new Set([...role.restart.workers, ...restart.workers])],
          leaving: [...(role.restart.leaving ?? []), ...(restart.leaving ?? [])],
        }
  role.restart = merged
  for (const gang of role.gangs)
    if (gang.workers.some((worker) => merged.workers.includes(worker))) dissolve(ctx, gang)
  for (const worker of merged.workers) {
    // one whose root has exited is cleaned up by its agent; the others are told
    if (live(worker) && exitOf(worker) === null) endingOf(ctx, worker, restart.by, null)
  }
  update(ctx, role.run, {})
}

/**
 * When all that a restart replaces is proven gone, it waits for its time. @returns a worker whose tree is not
 * proven gone
 */
export function advanceRestart(ctx: Ctx, role: RoleLive): Worker | null {
  const { restart } = role
  if (restart === null || restart.workers.some(live)) return null
  const left = restart.workers.find(isUnproven)
  if (left !== undefined) return left
  role.restart = null
  noteRestart(ctx, role, restart.kind, restart.backoffMs)
  tellRestart(ctx, restart)
  const leaving = leavingOf(role, restart)
  for (const worker of restart.workers) if (!leaving.includes(worker)) toWaiting(ctx, worker, restart.failure)
  return null
}

/** Who went while the others were being ended goes too, as long as enough are left. */
function leavingOf({ spec }: RoleLive, { workers, leaving }: Restart): readonly Worker[] {
  if (leaving === undefined) return []
  const others = workers.filter((worker) => !leaving.includes(worker) && wentAway(worker))
  return [...leaving, ...others.slice(0, Math.max(0, workers.length - leaving.length - spec.minReplicas))]
}

/** More than the largest `restart.max`, which counts them. */
const TRIES_KEPT = 1000

/** The count of this kind of try, and the pause of the role: both survive a failover. */
export function noteRestart(ctx: Ctx, { run, spec }: RoleLive, kind: RestartKind, backoffMs: number): void {
  const { record } = run
  const tries = { role: spec.name, kind, at: [...triesOf(run, spec.name, kind), ctx.wall].slice(-TRIES_KEPT) }
  const others = record.restarts.filter((other) => other.role !== spec.name || other.kind !== kind)
  update(ctx, run, {
    record: {
      restarts: [...others, tries],
      backoffUntil: { ...record.backoffUntil, [spec.name]: ctx.wall + Math.max(1, backoffMs) },
    },
  })
  wakeAt(ctx, run, ctx.now + Math.max(1, backoffMs))
}

/**
 * Its place is kept if it is a good one still.
 *
 * @param why  this attempt is over; null: it came to nothing, and does not count
 */
export function toWaiting(ctx: Ctx, worker: Worker, why: string | null): void {
  const node = worker.record.node === null ? undefined : ctx.s.nodes.get(worker.record.node)
  if (!worker.releasable && worker.report !== null && worker.record.node !== null)
    worker.past = { node: worker.record.node, forkId: currentFork(worker) }
  update(ctx, worker, {
    record: {
      phase: 'waiting',
      ending: null,
      node: null,
      ...(why !== null && withLatest(worker, why)),
    },
    gang: null,
    report: null,
    judged: false,
  })
  if (node !== undefined && isOpen(ctx, node) && node.avoidUntil <= ctx.now) keep(ctx, worker, node.name)
}

function keep(ctx: Ctx, worker: Worker, name: string): void {
  const node = ctx.s.nodes.get(name)!
  const { capacity, used } = node
  const asked = resourcesOf(worker.role.spec, worker.record.index)
  // it was freed when its tree was gone; somebody else may have it by now
  if (
    capacity === null ||
    used.cpus + asked.cpus > capacity.cpus ||
    used.memoryBytes + asked.memoryBytes > capacity.memoryBytes ||
    (!asked.share && gpusTaken(node) + asked.gpus > capacity.gpus.length)
  )
    return
  reserve(ctx, worker, name)
}
