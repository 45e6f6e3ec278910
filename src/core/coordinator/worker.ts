/**
 * All that is known of a worker's latest attempt: its agent's last report, merged with the record. Owns that
 * merge: nobody else reads both.
 */
import { forkIdOf } from '../../protocol/names.ts'
import type { WorkerRecord } from '../../protocol/records.ts'
import type { Exit, ForkReport } from '../../protocol/shapes.ts'
import type { Worker } from './types.ts'

export function currentFork(worker: Worker): string {
  return forkIdOf(worker.run.record.run, worker.record.role, worker.record.index, worker.record.attempt)
}

export type WorkerView = NonNullable<WorkerRecord['last']>

const NOTHING: WorkerView = {
  pid: null,
  addr: null,
  ports: [],
  gpus: [],
  ranks: [],
  startedAt: null,
  exitedAt: null,
  exit: null,
  receipt: null,
  stderrTail: [],
}

/**
 * Of the tree the agent knows newer things. Of the end the record knows more: the cause, and an end that was
 * decided without the agent.
 */
export function viewOf({ record: { last }, report }: Pick<Worker, 'record' | 'report'>): WorkerView {
  if (report === null) return last ?? NOTHING
  const saved = report.saved === undefined ? last?.saved : report.saved
  const { pid, addr, ports, gpus, ranks } = report
  return {
    ...{ pid, addr, ports, gpus, ranks },
    startedAt: report.startedAt ?? last?.startedAt ?? null,
    exitedAt: last?.exitedAt ?? report.exitedAt,
    exit: last?.exit ?? report.exit,
    receipt: last?.receipt ?? report.receipt,
    stderrTail: report.stderrTail.length > 0 ? report.stderrTail : (last?.stderrTail ?? []),
    ...(saved !== undefined && { saved }),
  }
}

/** @returns null while its root is there, or when it never ran */
export function exitOf({ record, report }: Pick<Worker, 'record' | 'report'>): Exit | null {
  return record.last?.exit ?? report?.exit ?? null
}

/** When its latest attempt started, once that is on record. */
export function startedAtOf({ record }: Pick<Worker, 'record'>): number | null {
  return record.last?.startedAt ?? null
}

/** Its tree is not proven gone, and its end has been decided. */
export function isUnproven(worker: Worker): boolean {
  const { receipt } = viewOf(worker)
  return receipt !== null && receipt.outcome !== 'gone'
}

const SURVIVORS_SHOWN = 3
const COMMAND_SHOWN = 60

/** Why nothing is started beside it, and how a person goes on: nobody else can look. */
export function unprovenText(worker: Worker): string {
  const { survivors, reason } = viewOf(worker).receipt!
  const left = survivors
    .slice(0, SURVIVORS_SHOWN)
    .map(({ pid, command }) => `${pid} ${command.slice(0, COMMAND_SHOWN)}`)
  const why = left.length > 0 ? `still there: ${left.join(', ')}` : reason
  return (
    `${worker.id} is not proven gone${why === null ? '' : ` (${why})`}, so nothing is started beside it; ` +
    `end what is left of it on ${worker.record.node}, if anything, and launch the run again`
  )
}

/**
 * What goes on record while it lives: pid, addresses and ranks, for a later coordinator that cannot hear its
 * node. How it ended is recorded with its end.
 */
export function lastOf(worker: Worker, wall: number): WorkerView {
  const view = viewOf(worker)
  const exitedAt = view.exitedAt ?? (worker.report!.exit === null ? null : wall)
  return { ...view, exitedAt, exit: null, receipt: null, stderrTail: [] }
}

const TAIL = { lines: 20, chars: 4096 }

/** A failed worker keeps its last lines in STATE; what ended as it should keeps none. */
function tailFor(report: ForkReport | null, exit: Exit | null): string[] {
  if (report === null || exit === null || exit.code === 0 || exit.killedBy !== null) return []
  return tailOf(report.stderrTail, TAIL)
}

/** The last lines, so many and so many characters of them at most. */
export function tailOf(all: readonly string[], most: { lines: number; chars: number }): string[] {
  const lines: string[] = []
  let chars = 0
  for (const line of all.slice(-most.lines).toReversed()) {
    chars += line.length
    if (chars > most.chars) break
    lines.unshift(line)
  }
  return lines
}

/** What goes on record with its end. */
export function lastAtEnd(worker: Worker, exit: Exit | null, receipt: WorkerView['receipt']): WorkerView {
  const { saved, ...view } = viewOf(worker)
  // "not yet" is "no" by its agent's word alone
  const isKnown = saved != null || (saved === null && worker.report?.phase === 'gone')
  const stderrTail = tailFor(worker.report, exit)
  return { ...view, exit, receipt, stderrTail, ...(isKnown && { saved }) }
}
