/** How a worker or a run is changed. */
import { stageOf } from './stages.ts'
import type { Ctx, Run, Worker } from './types.ts'

/** Change a worker; its role's counts follow. */
export function change(worker: Worker, by: () => void): void {
  const before = stageOf(worker)
  by()
  const after = stageOf(worker)
  if (before !== after) {
    worker.role.counts[before]--
    worker.role.counts[after]++
  }
}

/** The run's record or one of its workers changed: it goes into the next entry. */
export function touchRun(ctx: Ctx, run: Run): void {
  run.urgent = true
  ctx.s.dirty.add(run)
}

export function touchWorker(ctx: Ctx, worker: Worker, urgent: boolean): void {
  worker.run.dirtyWorkers.add(worker)
  if (urgent) worker.run.urgent = true
  ctx.s.dirty.add(worker.run)
}

/** Look at this worker again in this step. */
export function workOn(ctx: Ctx, worker: Worker): void {
  worker.run.work.add(worker)
  ctx.s.dirty.add(worker.run)
}
