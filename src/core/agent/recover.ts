/**
 * After the agent died: the spool's forks become state again. What was ordered goes on, and facts that the
 * event stream had not acknowledged are told again under the same ids. `ranks`, `ready` and `prepared` are
 * not: the inventory of a new incarnation has them.
 */
import type { Cause } from '../../protocol/causes.ts'
import type { Recovered } from '../../protocol/host.ts'
import { ForkNotes } from '../../protocol/fork-notes.ts'
import type { WorkerWhat } from '../../protocol/table.ts'
import type { Exit } from '../../protocol/shapes.ts'
import { keepLastWords } from './last-words.ts'
import { resumeStop } from './ladder.ts'
import { ownReceipt } from './lifecycle.ts'
import { causeOf, sentBy, stateFact } from './report.ts'
import { newFork, type AgentState, type Fork, type Out } from './agent-state.ts'

export function recoverFork(state: AgentState, recovered: Recovered, at: number, out: Out): void {
  const notes = ForkNotes.parse(recovered.notes)
  const { spec } = recovered
  const exit = recovered.exit === null ? null : exitOf(recovered.exit, notes)
  const fork: Fork = {
    ...newFork(spec),
    phase: recovered.phase,
    leases: recovered.prepared,
    start: recovered.started,
    runningSince: at,
    everReady: notes.everReady,
    exit,
    exitedAt: recovered.exit?.exitedAt ?? null,
    exitedTick: at,
    receipt: notes.receipt ?? (recovered.receipt && ownReceipt(recovered.receipt, exit)),
    ranks: recovered.ranks,
    logsFinal: notes.logsFinal ?? recovered.logsFinal,
    signals: notes.signals,
    saved: savedOf(recovered, notes),
    acked: [...notes.acked],
  }
  if (fork.start?.pid === null) fork.startFault = `${spec.command[0]} could not be executed`
  state.forks.set(spec.forkId, fork)
  keepLastWords(state, fork, recovered.stderrTail, recovered.errorFile)
  out.push({ type: 'serve', forkId: spec.forkId })
  switch (recovered.phase) {
    case 'prepared':
      return
    case 'cancelled':
      return onCancelledBefore(state, fork, notes.failed, out)
    case 'running':
      return onRunningStill(state, fork, notes.stop, at, out)
    case 'exited':
      return onExitedBefore(state, fork, notes.stop, at, out)
    case 'gone':
      return onGoneBefore(state, fork, out)
  }
}

/** Without an order to stop there is nothing to say. An order to kill begins no watch. */
function savedOf({ spec, saved, exit }: Recovered, { stop }: ForkNotes): Fork['saved'] {
  if (spec.stop.saved === undefined || ((stop === undefined || stop.afterExit) && exit?.fenced !== true))
    return undefined
  return saved === undefined && stop?.signal === null ? null : saved
}

function exitOf(exit: NonNullable<Recovered['exit']>, { stop, signals }: ForkNotes): Exit {
  const { code, signal, oom, unknown, inSetUp, left } = exit
  const killedBy: Cause | null = causeOf(stop) ?? (exit.fenced ? { by: 'fence' } : null)
  return sentBy(
    { signals, stop: null },
    {
      ...{ code, signal, oom, unknown, killedBy },
      ...(inSetUp !== undefined && { inSetUp }),
      ...(left !== undefined && { left }),
    },
    null,
  )
}

function tell(state: AgentState, fork: Fork, what: WorkerWhat, out: Out): void {
  if (!fork.acked.includes(what)) stateFact(state, fork, what, out)
}

/**
 * A tombstone stands for a fork that was called off, and for one whose start failed: that one has an exit and
 * a receipt.
 */
function onCancelledBefore(state: AgentState, fork: Fork, failed: ForkNotes['failed'], out: Out): void {
  if (failed === undefined) return tell(state, fork, 'cancelled', out)
  fork.phase = 'gone'
  fork.startFault = failed.startFault
  fork.startFinal = failed.final
  fork.exit = failed.exit
  fork.exitedAt = failed.exitedAt
  fork.receipt ??= { outcome: 'gone', survivors: [], reason: null, ms: 0 }
  onGoneBefore(state, fork, out)
}

function onRunningStill(state: AgentState, fork: Fork, stop: ForkNotes['stop'], at: number, out: Out): void {
  const { forkId, ready } = fork.spec
  fork.ready = ready === null && fork.start?.pid != null
  if (fork.start?.pid != null) tell(state, fork, 'started', out)
  if (fork.saved != null) tell(state, fork, 'saved', out)
  out.push({ type: 'ship-logs', forkId })
  if (ready !== null && !fork.everReady)
    out.push({ type: 'timer', afterMs: ready.timeoutMs, timer: { kind: 'ready', forkId } })
  if (stop !== undefined) resumeStop(fork, stop, at, out)
}

function onExitedBefore(state: AgentState, fork: Fork, stop: ForkNotes['stop'], at: number, out: Out): void {
  tellEnd(state, fork, out)
  out.push({ type: 'ship-logs', forkId: fork.spec.forkId })
  if (stop !== undefined) resumeStop(fork, stop, at, out)
  if (stop === undefined || stop.sent > 0)
    out.push({
      type: 'timer',
      afterMs: state.settings.residueAfterMs,
      timer: { kind: 'residue', forkId: fork.spec.forkId },
    })
}

function onGoneBefore(state: AgentState, fork: Fork, out: Out): void {
  tellEnd(state, fork, out)
  tell(state, fork, 'gone', out)
  if (fork.logsFinal === null) out.push({ type: 'finish-logs', forkId: fork.spec.forkId })
  else tell(state, fork, 'logs-final', out)
}

function tellEnd(state: AgentState, fork: Fork, out: Out): void {
  if (fork.start?.pid != null) tell(state, fork, 'started', out)
  // no, once it is gone
  if (fork.saved != null || (fork.saved === null && fork.phase === 'gone')) tell(state, fork, 'saved', out)
  tell(state, fork, 'exited', out)
}
