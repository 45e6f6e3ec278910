/**
 * Gangs of a run that go on with what was heard, and those that could not be started: again, elsewhere, or
 * the run ends.
 */
import { advanceGang } from './advance-gang.ts'
import { backoff } from './backoff.ts'
import { lostExit } from './ends.ts'
import { tellRestart } from './events.ts'
import { noteFailure } from './fail-run.ts'
import { dissolve, isAborted } from './gangs.ts'
import { isUsers, noteRestart, toWaiting } from './restart.ts'
import { beginStop, endNeverStarted } from './stop.ts'
import type { Ctx, Gang, Run, Worker } from './types.ts'
import { isUnproven, unprovenText } from './worker.ts'

export function advanceGangs(ctx: Ctx, run: Run): void {
  const news = new Map<Gang, Worker[]>()
  for (const worker of run.work) {
    if (worker.gang === null) continue
    const list = news.get(worker.gang)
    if (list === undefined) news.set(worker.gang, [worker])
    else list.push(worker)
  }
  for (const [gang, workers] of news) {
    if (!gang.role.gangs.has(gang)) continue
    advanceGang(ctx, gang, workers)
    endNeverStarted(ctx, run)
    if (isAborted(gang)) onAborted(ctx, gang)
  }
}

/** All of a void attempt is over: again, elsewhere, or the run could not be started. */
function onAborted(ctx: Ctx, gang: Gang): void {
  const { role, workers } = gang
  const { run } = role
  const abort = gang.abort!
  const { settings } = ctx.s
  dissolve(ctx, gang)
  if (run.record.stopping !== null) return
  const unproven = workers.find(isUnproven)
  const uncounted = abort.retry === 'elsewhere' || abort.retry === 'busy'
  const tries = uncounted ? role.launchTries : ++role.launchTries
  if (unproven === undefined && (uncounted || (abort.retry === 'again' && tries < settings.launchTries))) {
    const pauseMs =
      abort.retry === 'elsewhere'
        ? 1
        : abort.retry === 'busy'
          ? backoff(settings.busyRetryMs, (role.busy?.tries ?? 1) - 1)
          : backoff(settings.launchRetryMs, tries - 1)
    noteRestart(ctx, role, 'launch', pauseMs)
    const again = workers.filter((worker) => !isUsers(worker))
    if (!uncounted) tellRestart(ctx, { workers: again, backoffMs: pauseMs, count: null, failure: abort.text })
    for (const worker of again) toWaiting(ctx, worker, uncounted ? null : abort.text)
    ctx.out.push({
      kind: 'log',
      level: 'warn',
      fields: {
        msg: 'an attempt is void',
        run: run.record.run,
        role: role.spec.name,
        why: abort.text,
        again: true,
      },
    })
    return
  }
  const { blame } = abort
  if (blame !== null) noteFailure(ctx, blame, abort.exit ?? lostExit(abort.text), abort.at)
  const text = unproven === undefined ? abort.text : `${abort.text}; ${unprovenText(unproven)}`
  beginStop(ctx, run, {
    by: { by: 'start', role: role.spec.name },
    why: 'could-not-start',
    text: `could not start: ${text}${tries > 1 ? ` (tried ${tries} times)` : ''}`,
    code: abort.code,
    kill: false,
  })
}
