/**
 * Whether a worker that was told to stop said that it saved, where its role says by which line it does. "No"
 * is its agent's word: of a worker that nobody can ask it is not known.
 */
import { savedText } from '../../protocol/exit-words.ts'
import { SAVED_LOG_SHOWN, type SaveState } from '../../protocol/receipts.ts'
import type { Ctx, RoleLive, Worker } from './types.ts'
import { viewOf } from './worker.ts'

/** @returns null where there is nothing to say: not declared, or never told to stop */
export function saveOf(ctx: Ctx, worker: Worker): SaveState | null {
  const { record, role, report } = worker
  if (role.spec.stop.saved === undefined) return null
  const { saved, exit, receipt, startedAt } = viewOf(worker)
  if (saved != null) return 'yes'
  if (startedAt === null) return null
  // its end may have been decided without its agent
  if (saved === null && receipt !== null) return report === null || report.phase === 'gone' ? 'no' : 'unknown'
  if (saved === undefined) {
    const isAsked = exit === null ? record.ending !== null : exit.killedBy !== null
    if (!isAsked) return null
    if (exit !== null || receipt !== null) return 'unknown'
  }
  return ctx.s.nodes.get(record.node ?? '')?.state === 'lost' ? 'unknown' : 'waiting'
}

export function savedLogOf({ spec }: RoleLive): string | undefined {
  return spec.stop.saved?.log.slice(0, SAVED_LOG_SHOWN)
}

export function saveText(ctx: Ctx, worker: Worker): string | null {
  return savedText(saveOf(ctx, worker), viewOf(worker).saved ?? null, savedLogOf(worker.role))
}
