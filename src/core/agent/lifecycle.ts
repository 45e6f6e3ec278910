/**
 * The life of a started fork as its host tells it: probed, exited, empty. Then its logs are final, and it may
 * be released. Phases only move forward; what comes late or twice changes nothing.
 */
import { forkIdOf } from '../../protocol/names.ts'
import type { WorkerWhat } from '../../protocol/table.ts'
import type { Exit, LogOffsets, Receipt, Saved } from '../../protocol/shapes.ts'
import { keepLastWords } from './last-words.ts'
import { stopFork, stopKillAgain } from './ladder.ts'
import { isOnce, note, reportOf, sentBy, stateFact } from './report.ts'
import type { HostEvent } from '../../protocol/host.ts'
import type { AgentState, Fork, Out } from './agent-state.ts'

export function onKillAgain(fork: Fork, out: Out): void {
  if (fork.phase === 'exited' && fork.start === null && fork.startFault !== null)
    out.push({ type: 'kill-tree', forkId: fork.spec.forkId }, { type: 'cancel', forkId: fork.spec.forkId })
  else stopKillAgain(fork, out)
}

export function onHostEvent(state: AgentState, event: HostEvent, at: number, out: Out): void {
  const fork = state.forks.get(event.forkId)
  if (fork === undefined) return
  if (fork.phase === 'starting') return void fork.held.push(event)
  switch (event.what) {
    case 'exited':
      if (fork.phase !== 'running') return
      return onExited(state, fork, event, at, out)
    case 'empty':
      if (fork.phase === 'running')
        onExited(
          state,
          fork,
          { ...UNTOLD, forkId: event.forkId, exitedAt: fork.start?.startedAt ?? 0 },
          at,
          out,
        )
      if (fork.phase !== 'exited') return
      return onEmpty(state, fork, event.receipt, at, out)
    case 'ranks':
      if (fork.phase !== 'running' && fork.phase !== 'exited') return
      fork.ranks = event.ranks
      return stateFact(state, fork, 'ranks', out)
    case 'probe':
      return onProbe(state, fork, event.ready, event.reason, out)
    case 'saved':
      return onSaved(state, fork, event.saved, out)
  }
}

const UNTOLD = {
  what: 'exited',
  exit: { code: null, signal: null, oom: null, unknown: 'the tree was gone before its exit was told' },
  stderrTail: [],
  errorFile: null,
} as Omit<Extract<HostEvent, { what: 'exited' }>, 'forkId' | 'exitedAt'>

function onExited(
  state: AgentState,
  fork: Fork,
  event: Extract<HostEvent, { what: 'exited' }>,
  at: number,
  out: Out,
): void {
  fork.phase = 'exited'
  const killedBy = fork.stop?.killedBy ?? (event.fenced ? ({ by: 'fence' } as const) : null)
  fork.exit = sentBy(fork, { ...event.exit, killedBy }, null)
  fork.exitedAt = event.exitedAt
  fork.exitedTick = at
  keepLastWords(state, fork, event.stderrTail, event.errorFile)
  fork.ready = false
  if (fork.start?.pid === null)
    fork.startFault = `${fork.startFault}: ${event.stderrTail.at(-1) ?? `exit code ${event.exit.code}`}`
  stateFact(state, fork, 'exited', out)
  if (fork.stop === null || (fork.stop.step === 'grace' && !fork.stop.toTree))
    out.push({
      type: 'timer',
      afterMs: state.settings.residueAfterMs,
      timer: { kind: 'residue', forkId: fork.spec.forkId },
    })
}

export function onEmpty(
  state: AgentState,
  fork: Fork,
  receipt: Extract<HostEvent, { what: 'empty' }>['receipt'],
  at: number,
  out: Out,
): void {
  if (fork.start?.pid == null) fork.saved = undefined
  // while it is not gone: a report of one that is has the receipt
  if (fork.saved === null) stateFact(state, fork, 'saved', out)
  fork.phase = 'gone'
  const since = fork.stop?.since ?? fork.exitedTick ?? at
  fork.receipt = ownReceipt({ ...receipt, ms: Math.max(0, Math.round(at - since)) }, fork.exit)
  note(fork, out)
  stateFact(state, fork, 'gone', out)
  out.push({ type: 'finish-logs', forkId: fork.spec.forkId })
}

function onProbe(state: AgentState, fork: Fork, ready: boolean, reason: string | null, out: Out): void {
  if (fork.phase !== 'running' || fork.spec.ready === null) return
  fork.readyReason = ready ? null : reason
  if (fork.ready === ready) return
  fork.ready = ready
  if (ready && !fork.everReady) {
    fork.everReady = true
    note(fork, out)
  }
  stateFact(state, fork, ready ? 'ready' : 'unready', out)
}

/** What a root left is news where it ended by itself: an order to end it was for all of its tree. */
export function ownReceipt({ left, ...proof }: Receipt, exit: Exit | null): Receipt {
  return left === undefined || exit?.killedBy != null ? proof : { ...proof, left }
}

/** @param saved  null: nobody will know */
function onSaved(state: AgentState, fork: Fork, saved: Saved | null, out: Out): void {
  if (fork.saved !== null || (fork.phase !== 'running' && fork.phase !== 'exited')) return
  fork.saved = saved ?? undefined
  if (saved !== null) stateFact(state, fork, 'saved', out)
}

/**
 * It had its time to become ready. That is the worker's failure, though it is we who end it: `killedBy` says
 * `not-ready`.
 */
export function onReadyTimeout(state: AgentState, fork: Fork, at: number, out: Out): void {
  if (fork.phase !== 'running' || fork.everReady || fork.stop !== null || fork.spec.ready === null) return
  const why = fork.readyReason === null ? '' : `: ${fork.readyReason}`
  fork.readyReason = `not ready within ${fork.spec.ready.timeoutMs / 1000} s${why}`
  stateFact(state, fork, 'unready', out)
  stopFork(
    fork,
    { signal: fork.spec.stop.signal, graceMs: fork.spec.stop.graceMs, killedBy: { by: 'not-ready' } },
    at,
    out,
  )
}

export function onLogsFinal(state: AgentState, fork: Fork, offsets: LogOffsets, out: Out): void {
  if (fork.phase !== 'gone' || fork.logsFinal !== null) return
  fork.logsFinal = offsets
  note(fork, out)
  stateFact(state, fork, 'logs-final', out)
}

export function onFactAcked(state: AgentState, fork: Fork, what: WorkerWhat, out: Out): void {
  if (!isOnce(what) || fork.acked.includes(what)) return
  fork.acked.push(what)
  note(fork, out)
  releaseIfDone(state, fork, out)
}

/**
 * The end is in STATE and everything was told and shipped: the host may forget the fork. Its logs stay by
 * retention.
 */
export function releaseIfDone(state: AgentState, fork: Fork, out: Out): void {
  const last: WorkerWhat = fork.phase === 'cancelled' ? 'cancelled' : 'logs-final'
  if (!fork.released || !fork.acked.includes(last)) return
  state.forks.delete(fork.spec.forkId)
  out.push(
    { type: 'release', forkId: fork.spec.forkId },
    { type: 'unserve', forkId: fork.spec.forkId, logsToo: false },
  )
}

export function onHealth(
  state: AgentState,
  order: number,
  where: { run: string; role: string; index: number },
  out: Out,
): void {
  const attempts = [...state.forks.values()].filter(
    (fork) =>
      fork.phase !== 'preparing' &&
      forkIdOf(where.run, where.role, where.index, fork.spec.attempt) === fork.spec.forkId,
  )
  const latest = attempts.toSorted((a, b) => b.spec.attempt - a.spec.attempt)[0]
  if (latest === undefined)
    return void out.push({
      type: 'fault',
      order,
      fault: {
        code: 'WORKER_NOT_FOUND',
        message: `no fork of ${where.run}/${where.role}/${where.index} is here`,
        data: {},
        retryable: false,
      },
    })
  out.push({ type: 'health', order, report: reportOf(latest) })
}
