/**
 * A run's state and its three clocks: queue while pending, start while starting, run while running and
 * stopping.
 */
import { isTerminal, type RunState } from '../../protocol/shapes.ts'
import { isLeftOut } from './outcome.ts'
import type { Ctx, RoleLive, Run } from './types.ts'
import { update } from './update.ts'

const CLOCK = { pending: 'queuedMs', starting: 'startMs', running: 'runMs', stopping: 'runMs' } as const
export type ClockName = (typeof CLOCK)[keyof typeof CLOCK]

export function clockOf(state: RunState): ClockName | null {
  return isTerminal(state) ? null : CLOCK[state as keyof typeof CLOCK]
}

/** The clocks as they stand at `wall`. */
export function clocksAt(run: Run, wall: number): { queuedMs: number; startMs: number; runMs: number } {
  const { state, clocks } = run.record
  const { queuedMs, startMs, runMs, since } = clocks
  const now = { queuedMs, startMs, runMs }
  const ticking = clockOf(state)
  if (ticking !== null) now[ticking] += Math.max(0, wall - since)
  return now
}

export function setState(ctx: Ctx, run: Run, state: RunState): void {
  if (run.record.state === state) return
  update(ctx, run, { record: { state, clocks: { ...clocksAt(run, ctx.wall), since: ctx.wall } } })
}

/** Waits, directly or not, for another role to be done: that is no start. */
function waitsForDone(role: RoleLive): boolean {
  return role.spec.dependsOn.some(({ role: name, condition }) => {
    const on = role.run.byRole.get(name)
    if (on === undefined) return false
    return condition === 'done' ? on.counts.exited + on.counts.ended < on.workers.length : waitsForDone(on)
  })
}

function isStarted(role: RoleLive): boolean {
  const { waiting, placed, prepared } = role.counts
  if (waiting + placed + prepared === 0) return true
  return (
    placed + prepared === 0 &&
    (waitsForDone(role) ||
      role.workers.every((worker) => worker.record.phase !== 'waiting' || isLeftOut(worker)))
  )
}

/** What a run that is neither stopping nor over is doing. */
export function liveState(run: Run): RunState {
  let alive = 0
  let started = 0
  let waiting = 0
  for (const { counts } of run.roles) {
    started += counts.started + counts.ready + counts.exited
    alive += counts.placed + counts.prepared
    waiting += counts.waiting
  }
  if (alive + started === 0) return waiting > 0 ? 'pending' : run.record.state
  if (run.record.state === 'running' && started > 0) return 'running'
  return run.roles.every(isStarted) ? 'running' : 'starting'
}
