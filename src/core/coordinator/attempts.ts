/**
 * The attempts of a worker, each with its end and its last words. The record keeps the last ones of those
 * that are over, bounded; of the latest the worker itself knows.
 */
import { causeText } from '../../protocol/causes.ts'
import { leftText } from '../../protocol/exit-words.ts'
import type { WorkerRecord } from '../../protocol/records.ts'
import { ATTEMPTS_KEPT, type Attempt } from '../../protocol/shapes.ts'
import { exitText } from './exit-code.ts'
import { failedRank } from './ranks.ts'
import type { Worker } from './types.ts'
import { tailOf, viewOf } from './worker.ts'

const NEVER_STARTED = 'it was never started'
const REASON_CHARS = 200
const LAST_WORDS = { lines: 5, chars: 1024 }

/** How the latest attempt ended; null while it runs, and when it never did. */
function endText(worker: Worker): string | null {
  const view = viewOf(worker)
  const { exit } = view
  if (exit === null) return null
  if (exit.killedBy !== null) return `${exitText(exit)}, ended by ${causeText(exit.killedBy)}`
  const failed = worker.role.spec.kind === 'torchrun' ? failedRank(view) : null
  const left = leftText(exit)
  return failed === null
    ? `${exitText(exit)}${left === null ? '' : `: ${left}`}`
    : `rank ${failed.rank.rank} ${exitText(failed.exit)}, and torchrun ${exitText(exit)}`
}

/** @param why  it came to an end, where its exit does not say so */
function latestOf(worker: Worker, why: string | null): Attempt {
  const { attempt, node } = worker.record
  const { exit, stderrTail } = viewOf(worker)
  const isFailure = exit !== null && exit.code !== 0 && exit.killedBy === null
  return {
    attempt,
    node,
    exit,
    reason: (endText(worker) ?? why)?.slice(0, REASON_CHARS) ?? null,
    lastWords: isFailure ? tailOf(stderrTail, LAST_WORDS) : [],
  }
}

/** What the record has of all attempts, once the latest is over. */
export function withLatest(
  worker: Worker,
  why: string,
): Pick<WorkerRecord, 'attempts' | 'attemptsForgotten'> {
  const { attempt, attempts = [], attemptsForgotten = 0 } = worker.record
  if (attempt === 0) return {}
  const all = [...attempts, latestOf(worker, why)]
  const forgotten = attemptsForgotten + Math.max(0, all.length - ATTEMPTS_KEPT)
  return { attempts: all.slice(-ATTEMPTS_KEPT), ...(forgotten > 0 && { attemptsForgotten: forgotten }) }
}

/** All that are known, the latest last. */
export function attemptsOf(worker: Worker): Attempt[] {
  const { attempt, attempts = [], phase } = worker.record
  if (attempt === 0 || attempts.at(-1)?.attempt === attempt) return [...attempts]
  return [...attempts, latestOf(worker, phase === 'ended' ? NEVER_STARTED : null)]
}

/** The latest attempt that ran and ended. */
export function lastRun(worker: Worker): Attempt | null {
  return attemptsOf(worker).findLast(({ exit }) => exit !== null) ?? null
}

/** Why nothing of it runs: how it ended, or what it waited for when its run did. */
export function overText(worker: Worker): string {
  const { attempt, attempts, phase } = worker.record
  const own = phase === 'ended' ? endText(worker) : null
  if (own !== null) return attempt > 1 ? `${own} (attempt ${attempt})` : own
  const last = lastRun(worker)
  if (last === null) return NEVER_STARTED
  const waited = attempts?.at(-1)?.attempt === attempt
  const now = waited
    ? `waiting for attempt ${attempt + 1} when ${phase === 'ended' ? 'it was stopped' : 'the run ended'}`
    : `attempt ${attempt} was never started`
  return `${now}; attempt ${last.attempt} ${last.reason}`
}
