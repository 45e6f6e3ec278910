/**
 * The one way to change a worker or a run. The caller names new values; everything that follows from a change
 * follows here: its role's counts, its entry in STATE, and that its run is looked at again. The records are
 * readonly for all others, so nobody can forget a part.
 */
import type { RunRecord, WorkerRecord } from '../../protocol/records.ts'
import { stageOf } from './stages.ts'
import type { Ctx, Run, Worker } from './types.ts'

/**
 * When a change of the record is in STATE.
 *
 * now: in an entry of this step, before anything leaves that rests on it. soon: it decides nothing yet, and
 * waits a moment for an entry to share. along: with the next entry about the worker or the run, whenever that
 * comes; a later coordinator can find it out again, and nobody looks for its sake.
 */
type Written = 'now' | 'soon' | 'along'

type WorkerPatch = Partial<Omit<Worker, 'run' | 'role' | 'id' | 'record'>> & {
  record?: Partial<Omit<WorkerRecord, 'role' | 'index'>>
}
type RunPatch = Partial<Pick<Run, 'placeReason'>> & { record?: Partial<Omit<RunRecord, 'workers'>> }

/** @param patch  empty: something around it has changed, so it is looked at again */
export function update(ctx: Ctx, worker: Worker, patch: WorkerPatch, written?: Written): void
export function update(ctx: Ctx, run: Run, patch: RunPatch, written?: Written): void
export function update(
  ctx: Ctx,
  target: Worker | Run,
  { record, ...live }: WorkerPatch | RunPatch,
  written: Written = 'now',
): void {
  const worker = 'role' in target ? target : null
  const run = 'role' in target ? target.run : target
  const before = worker && stageOf(worker)
  Object.assign(target, live)
  Object.assign(target.record, record)
  if (worker !== null && before !== null) recount(worker, before)
  if (written === 'along') return
  if (record !== undefined) {
    if (worker !== null) run.unwritten.add(worker)
    if (run.entry !== 'now') run.entry = written
  }
  if (worker !== null) run.work.add(worker)
  ctx.s.dirty.add(run)
}

function recount(worker: Worker, before: ReturnType<typeof stageOf>): void {
  const after = stageOf(worker)
  if (before === after) return
  const counts: Record<typeof before, number> = worker.role.counts
  counts[before]--
  counts[after]++
}
