/** A run ends by a failure: its text, its code and its cause come from the first failure. */
import type { Cause } from '../../protocol/causes.ts'
import { leftText } from '../../protocol/exit-words.ts'
import type { Exit, FirstFailure } from '../../protocol/shapes.ts'
import { exitCodeOf } from '../../protocol/signals.ts'
import { exitText } from './exit-code.ts'
import { failureAt } from './first-failure.ts'
import { beginStop } from './stop.ts'
import type { Ctx, Run, Worker } from './types.ts'
import { update } from './update.ts'

function nameOf(failure: FirstFailure): string {
  return failure.rank === undefined
    ? failure.worker
    : `${failure.worker.split('/').slice(0, 2).join('/')}:${failure.rank}`
}

export function failureText(failure: FirstFailure): string {
  const left = leftText(failure.exit)
  return `${nameOf(failure)} ${exitText(failure.exit)}${failure.node === '' ? '' : ` on ${failure.node}`}${left === null ? '' : `: ${left}`}`
}

export function causeOf({ worker, rank }: FirstFailure): Cause {
  return { by: 'peer', worker, ...(rank !== undefined && { rank }) }
}

/** A service that exits 0 while others need it has failed all the same. */
export function failureCode(failure: FirstFailure): number {
  return exitCodeOf(failure.exit) || 1
}

/** The run's first failure, unless it has one. */
export function noteFailure(ctx: Ctx, worker: Worker, exit: Exit, at: number): void {
  const { run } = worker
  if (run.record.firstFailure !== null) return
  update(ctx, run, { record: { firstFailure: failureAt(worker, exit, at) } })
}

export function fail(ctx: Ctx, run: Run, lost: boolean, extra: string | null): void {
  const { failure } = run.record.firstFailure!
  beginStop(ctx, run, {
    by: lost ? { by: 'node-lost', node: failure.node } : causeOf(failure),
    why: lost ? 'lost' : 'failed',
    text: `${failureText(failure)}${extra === null ? '' : ` (${extra})`}`,
    code: lost ? 125 : failureCode(failure),
    kill: false,
  })
}
