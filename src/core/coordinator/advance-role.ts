/** One role goes on: restarts, readiness, places, dependencies, and the launch of its gang. */
import { isUnheard, timedOut } from './deadlines.ts'
import { lostExit } from './ends.ts'
import { restartText } from './events.ts'
import { noteFailure } from './fail-run.ts'
import { launchGang } from './gangs.ts'
import { unreserve } from './node-usage.ts'
import { isLeftOut, isMet, presentOf } from './outcome.ts'
import { enterQueue } from './queue.ts'
import { advanceRestart } from './restart.ts'
import { secondsText } from './seconds-text.ts'
import { beginStop } from './stop.ts'
import { wakeAt } from './timers.ts'
import type { Ctx, RoleLive, Worker } from './types.ts'
import { update } from './update.ts'
import { exitOf, unprovenText } from './worker.ts'

export function advanceRole(ctx: Ctx, role: RoleLive): void {
  const { run, counts, spec } = role
  const { record } = run
  if (record.stopping !== null) return
  if (role.restart !== null) {
    const left = advanceRestart(ctx, role)
    if (left !== null) {
      noteFailure(ctx, left, exitOf(left) ?? lostExit('it is not proven gone'), ctx.wall)
      return beginStop(ctx, run, {
        by: role.restart!.by,
        why: 'failed',
        text: `${restartText(role.restart!)}; but ${unprovenText(left)}`,
        code: 125,
        kill: false,
      })
    }
  }
  if (
    counts.ready > 0 &&
    record.roleReadyAt[spec.name] === undefined &&
    counts.ready === presentOf(role) &&
    role.workers.every((w) => w.record.phase !== 'waiting' || isLeftOut(w))
  ) {
    update(ctx, run, { record: { roleReadyAt: { ...record.roleReadyAt, [spec.name]: ctx.wall } } })
  }
  if (role.restart !== null || counts.waiting === 0 || role.filling?.abort != null) return
  const waiting = role.workers.filter((worker) => worker.record.phase === 'waiting' && !isLeftOut(worker))
  if (waiting.length === 0) return
  const backoffUntil = record.backoffUntil[spec.name] ?? null
  if (backoffUntil !== null && backoffUntil > ctx.wall)
    return wakeAt(ctx, run, ctx.now + backoffUntil - ctx.wall)
  if (waiting.some((worker) => worker.record.node === null)) {
    if (ctx.s.queue.has(run)) return
    return enterQueue(ctx, run)
  }
  if (run.placeReason !== null) update(ctx, run, { placeReason: null })
  if (role.filling === null && !dependenciesMet(ctx, role)) return
  const spoilt = waiting.filter((worker) => !isPlaceGood(ctx, worker))
  if (spoilt.length === 0) return launchGang(ctx, role, waiting)
  // a place that was kept went bad meanwhile: another one
  for (const worker of spoilt) unreserve(ctx, worker)
  enterQueue(ctx, run)
}

function isPlaceGood(ctx: Ctx, worker: Worker): boolean {
  const node = ctx.s.nodes.get(worker.record.node!)
  return (
    node !== undefined && node.state === 'ready' && node.inventoried && !node.storeRefused && !node.leaving
  )
}

function dependenciesMet(ctx: Ctx, role: RoleLive): boolean {
  const { run, spec } = role
  if (spec.dependsOn.length === 0) return true
  const unmet = spec.dependsOn.filter(({ role: on, condition }) => !isMet(run.byRole.get(on)!, condition))
  const waits = { ...run.record.waitsSince }
  // waited for again, after a restart, is waited for anew
  for (const { role: on } of spec.dependsOn)
    if (!unmet.some((dependency) => dependency.role === on)) delete waits[`${spec.name}/${on}`]
  update(ctx, run, { record: { waitsSince: waits } }, 'along')
  for (const { role: on, condition, timeoutMs } of unmet) {
    // its patience counts from when this role could start but for it
    if (timeoutMs === null || unmet.length > 1) continue
    const key = `${spec.name}/${on}`
    const since = waits[key] ?? ctx.wall
    if (waits[key] === undefined)
      update(ctx, run, { record: { waitsSince: { ...run.record.waitsSince, [key]: since } } })
    if (ctx.wall - since >= timeoutMs) {
      if (run.byRole.get(on)!.workers.some((worker) => isUnheard(ctx, worker))) continue
      timedOut(
        ctx,
        run,
        'dependency',
        `role ${spec.name} waited ${secondsText(timeoutMs)} for ${on} to be ${condition}`,
      )
      return false
    }
    wakeAt(ctx, run, ctx.now + since + timeoutMs - ctx.wall)
  }
  return unmet.length === 0
}
