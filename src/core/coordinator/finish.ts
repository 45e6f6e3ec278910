/** The end of a run: when it is done, how it is called, and the restart of a whole run. */
import { tellRestart } from './events.ts'
import { fail } from './fail-run.ts'
import { isDone, isWork } from './outcome.ts'
import { leaveQueue } from './queue.ts'
import { isUsers, noteRestart, toWaiting } from './restart.ts'
import { setState } from './run-state.ts'
import { beginStop, cancelRun } from './stop.ts'
import type { Ctx, Run } from './types.ts'
import { update } from './update.ts'
import { isUnproven, unprovenText } from './worker.ts'

/** `stopWhen`, or all that is work is done. */
export function checkDone(ctx: Ctx, run: Run): void {
  const work = run.roles.filter(isWork)
  const { stopWhen } = run.spec
  const watched = stopWhen === null ? (work.length > 0 ? work : run.roles) : [run.byRole.get(stopWhen.role)!]
  if (!watched.every(isDone)) {
    // a role that carries on after a failure ends the run when all of it is done
    const failed = run.record.firstFailure
    if (
      failed !== null &&
      run.roles.some(
        (role) =>
          !role.spec.failFast &&
          isDone(role) &&
          role.workers.some((worker) => worker.id === failed.failure.worker),
      )
    )
      fail(ctx, run, false, null)
    return
  }
  if (run.record.firstFailure !== null) return fail(ctx, run, false, null)
  const user = watched.flatMap((role) => role.workers).find(isUsers)
  if (user !== undefined) return cancelRun(ctx, run, user.record.ending!, false)
  beginStop(ctx, run, {
    by: stopWhen === null ? { by: 'done' } : { by: 'stop-when', role: stopWhen.role },
    why: 'done',
    text: watched.length === 1 ? `${watched[0]!.spec.name} is done` : 'all roles are done',
    code: 0,
    kill: false,
  })
}

const TERMINAL = {
  done: 'succeeded',
  failed: 'failed',
  cancelled: 'cancelled',
  'timed-out': 'timed-out',
  'could-not-start': 'failed',
  lost: 'lost',
} as const

export function finish(ctx: Ctx, run: Run): void {
  const { record } = run
  const { why, text, code } = record.stopping!
  if (why === 'restart') return restartRun(ctx, run)
  update(ctx, run, { record: { code, endedAt: ctx.wall, reason: why === 'done' ? null : text } })
  setState(ctx, run, TERMINAL[why])
  run.work.clear()
  leaveQueue(ctx, run)
  ctx.s.ended.push(run)
}

function restartRun(ctx: Ctx, run: Run): void {
  const { record } = run
  const left = run.workers.find(isUnproven)
  const { text } = record.stopping!
  if (left !== undefined) {
    const unproven = `${text}; but ${unprovenText(left)}`
    update(ctx, run, {
      record: { stopping: { ...record.stopping!, why: 'failed', text: unproven, code: 125 } },
    })
    return finish(ctx, run)
  }
  const by = run.restartRole ?? {
    role: run.roles.find((role) => role.spec.restart.scope === 'run') ?? run.roles[0]!,
    backoffMs: 1000,
    count: null,
    failure: text,
  }
  run.restartRole = null
  update(ctx, run, { record: { stopping: null, roleReadyAt: {} } })
  tellRestart(ctx, { ...by, workers: run.workers })
  for (const worker of run.workers)
    if (worker.record.phase === 'ended' && !isUsers(worker)) toWaiting(ctx, worker, by.failure)
  for (const role of run.roles) role.stop = { pass: 'none', next: -1 }
  noteRestart(ctx, by.role, 'restart', by.backoffMs)
  setState(ctx, run, 'pending')
}
