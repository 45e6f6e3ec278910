/** When a run is looked at again for the sake of time, and when a step leaves the rest to the next. */
import type { Ctx, Run } from './types.ts'

/**
 * Look at a run again at a time, unless it is looked at earlier. Nothing of the run changes now, so this is
 * no update: it is a command, and its timer's event looks at whatever is due by then.
 */
export function wakeAt(ctx: Ctx, run: Run, at: number): void {
  if (at >= run.wakeAt) return
  run.wakeAt = at
  ctx.out.push({ kind: 'timer', at, timer: { of: 'run', run: run.record.run } })
}

/** A step has done its share: the rest is for the next, and other events come between. */
export function goOn(ctx: Ctx, run: Run | null = null): void {
  if (run !== null) ctx.s.rest.add(run)
  if (ctx.s.goingOn) return
  ctx.s.goingOn = true
  ctx.out.push({ kind: 'timer', at: ctx.now, timer: { of: 'rest' } })
}
