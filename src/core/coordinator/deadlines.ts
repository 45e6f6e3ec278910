/**
 * Clocks of a run: queue, start and run, the peers of a torchrun that exited 0, and waiting for a dependency.
 */
import type { Cause } from '../../protocol/causes.ts'
import { lostExit } from './ends.ts'
import { reasonOf } from './explain.ts'
import { noteFailure } from './fail-run.ts'
import { isDone } from './outcome.ts'
import { clocksAt } from './run-state.ts'
import { secondsText } from './seconds-text.ts'
import { live } from './stages.ts'
import { beginStop } from './stop.ts'
import { wakeAt } from './timers.ts'
import type { Ctx, Run, Worker } from './types.ts'
import { exitOf } from './worker.ts'

/** A new leader has not heard its node yet: what became of it meanwhile may have been in time. */
export function isUnheard(ctx: Ctx, worker: Worker): boolean {
  const node = worker.record.node === null ? undefined : ctx.s.nodes.get(worker.record.node)
  return (
    live(worker) && worker.report === null && node !== undefined && !node.inventoried && node.state !== 'lost'
  )
}

type Clock = Extract<Cause, { by: 'deadline' }>['clock']

export function timedOut(ctx: Ctx, run: Run, clock: Clock, text: string): void {
  return beginStop(ctx, run, {
    by: { by: 'deadline', clock },
    why: 'timed-out',
    text,
    code: 124,
    kill: false,
  })
}

export function checkTimes(ctx: Ctx, run: Run): void {
  const { queueMs, startMs, runMs } = run.spec.deadlines
  const { state, clocks } = run.record
  // waiting and starting are judged each time anew, running in all
  const inState = ctx.wall - clocks.since
  const [limit, spent, word] =
    state === 'pending'
      ? ([queueMs, inState, 'queue'] as const)
      : state === 'starting'
        ? ([startMs, inState, 'start'] as const)
        : ([runMs, clocksAt(run, ctx.wall).runMs, 'run'] as const)
  if (limit !== null) {
    if (spent >= limit)
      return timedOut(
        ctx,
        run,
        word,
        `deadline ${word}: ${secondsText(limit)} are over${state === 'running' ? '' : ` (${reasonOf(ctx, run) ?? state})`}`,
      )
    wakeAt(ctx, run, ctx.now + limit - spent)
  }
  checkPeers(ctx, run)
}

/** One torchrun agent exited 0 early: its peers have so long. */
function checkPeers(ctx: Ctx, run: Run): void {
  const { peerExitMs } = ctx.s.settings
  for (const role of run.roles) {
    const firstDoneAt = run.record.firstDoneAt?.[role.spec.name]
    if (firstDoneAt === undefined || role.restart !== null || isDone(role)) continue
    const left = firstDoneAt + peerExitMs - ctx.wall
    if (left > 0) {
      wakeAt(ctx, run, ctx.now + left)
      continue
    }
    const late = role.workers.find(
      (worker) => live(worker) && exitOf(worker) === null && !isUnheard(ctx, worker),
    )
    if (late === undefined || run.record.stopping !== null) continue
    const exit = lostExit(`it ran on ${secondsText(peerExitMs)} after a peer had exited 0`)
    noteFailure(ctx, late, exit, ctx.wall)
    beginStop(ctx, run, {
      by: { by: 'deadline', clock: 'peer-exit' },
      why: 'failed',
      text: `${late.id} did not end within ${secondsText(peerExitMs)} of a peer that exited 0`,
      code: 1,
      kill: false,
    })
  }
}
