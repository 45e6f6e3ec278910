/**
 * A fork up to its first process, as its host tells it: prepared, lapsed, cancelled, started. What comes late
 * or twice changes nothing.
 */
import { Fault, type FaultBody } from '../../protocol/faults.ts'
import { stopFork, stopStarted } from './ladder.ts'
import { onEmpty, onHostEvent } from './lifecycle.ts'
import { note, settle, settleFault, stateFact } from './report.ts'
import type { Prepared, Started } from '../../protocol/host.ts'
import type { AgentState, Fork, Out } from './agent-state.ts'

export function onPrepared(
  state: AgentState,
  token: string,
  forkIds: readonly string[],
  leases: readonly Prepared[] | null,
  fault: FaultBody | null,
  at: number,
  out: Out,
): void {
  const forks = forkIds
    .flatMap((forkId) => state.forks.get(forkId) ?? [])
    .filter((fork) => fork.token === token && fork.phase === 'preparing')
  if (leases === null) {
    for (const fork of forks) {
      state.forks.delete(fork.spec.forkId)
      // left by an earlier incarnation, and its gang cannot be prepared again
      if (fork.leases !== null && !fork.cancelling) out.push({ type: 'drop', forkId: fork.spec.forkId })
    }
    return settleFault(state, `prepare ${token}`, fault!, out)
  }
  for (const fork of forks) {
    fork.phase = 'prepared'
    fork.leases = leases[forkIds.indexOf(fork.spec.forkId)]!
    out.push({ type: 'serve', forkId: fork.spec.forkId })
    if (!fork.cancelling) stateFact(state, fork, 'prepared', out)
  }
  const lapseAt = Math.max(at, ...forks.map((fork) => fork.lapseAt))
  out.push({ type: 'timer', afterMs: lapseAt - at, timer: { kind: 'lapse', token } })
  settle(state, `prepare ${token}`, out)
}

/** Nobody came to start them: leases and spools are given back. The id is not refused for ever. */
export function onLapse(state: AgentState, token: string, out: Out): void {
  for (const fork of state.forks.values()) {
    if (fork.token !== token || fork.phase !== 'prepared' || fork.cancelling) continue
    state.forks.delete(fork.spec.forkId)
    out.push(
      { type: 'drop', forkId: fork.spec.forkId },
      { type: 'unserve', forkId: fork.spec.forkId, logsToo: true },
    )
  }
}

export function onCancelled(
  state: AgentState,
  forkId: string,
  proven: boolean,
  fault: FaultBody | null,
  at: number,
  out: Out,
): void {
  const fork = state.forks.get(forkId)
  if (fork?.phase === 'exited') return onStartBuried(state, fork, proven && fault === null, at, out)
  if (fault !== null || (fork === undefined && !proven)) {
    if (fork !== undefined) {
      fork.cancelling = false
      out.push({
        type: 'timer',
        afterMs: state.settings.prepareLapseMs,
        timer: { kind: 'lapse', token: fork.token },
      })
    }
    return settleFault(
      state,
      `cancel ${forkId}`,
      fault ?? new Fault('FAILED', `${forkId} was started by somebody else`).toBody(),
      out,
    )
  }
  if (fork?.phase === 'prepared') {
    fork.cancelling = false
    if (proven) onNeverRun(state, fork, out)
    else onForeignStart(fork, at, out)
  }
  settle(state, `cancel ${forkId}`, out)
}

/** A shim of an earlier incarnation won the spool's `started`: it runs, unseen so far, and is ended. */
function onForeignStart(fork: Fork, at: number, out: Out): void {
  fork.phase = 'running'
  fork.runningSince = at
  out.push({ type: 'ship-logs', forkId: fork.spec.forkId })
  stopFork(fork, { signal: null, graceMs: 0, killedBy: { by: 'attempt' } }, at, out)
}

/** The tombstone of a fork that could not be started. */
function onStartBuried(state: AgentState, fork: Fork, proven: boolean, at: number, out: Out): void {
  if (fork.start !== null) return
  if (proven) onEmpty(state, fork, { outcome: 'gone', survivors: [], reason: null }, at, out)
  else
    out.push({
      type: 'timer',
      afterMs: state.settings.killAgainMs,
      timer: { kind: 'kill-again', forkId: fork.spec.forkId },
    })
}

function onNeverRun(state: AgentState, fork: Fork, out: Out): void {
  fork.phase = 'cancelled'
  fork.held = []
  stateFact(state, fork, 'cancelled', out)
  out.push({ type: 'unserve', forkId: fork.spec.forkId, logsToo: true })
}

export function onStarted(
  state: AgentState,
  fork: Fork,
  start: Started | null,
  fault: FaultBody | null,
  at: number,
  out: Out,
): void {
  if (fork.phase !== 'starting') return
  if (start !== null) running(state, fork, start, at, out)
  else if (fault!.code === 'CANCELLED') onNeverRun(state, fork, out)
  else couldNotStart(state, fork, fault!, out)
  settle(state, `start ${fork.spec.forkId}`, out)
}

function running(state: AgentState, fork: Fork, start: Started, at: number, out: Out): void {
  const { forkId, ready } = fork.spec
  fork.phase = 'running'
  fork.start = start
  fork.runningSince = at
  if (start.pid === null) fork.startFault = `${fork.spec.command[0]} could not be executed`
  else {
    fork.ready = ready === null
    stateFact(state, fork, 'started', out)
    if (ready !== null)
      out.push({ type: 'timer', afterMs: ready.timeoutMs, timer: { kind: 'ready', forkId } })
  }
  out.push({ type: 'ship-logs', forkId })
  stopStarted(fork, out)
  const held = fork.held
  fork.held = []
  for (const event of held) onHostEvent(state, event, at, out)
}

/**
 * The host did not start it: nothing ran, and the tombstone (which also frees the leases) sees to it that
 * nothing will.
 */
function couldNotStart(state: AgentState, fork: Fork, fault: FaultBody, out: Out): void {
  fork.phase = 'exited'
  fork.startFault = fault.message
  fork.startFinal = !fault.retryable
  fork.exit = {
    code: null,
    signal: null,
    oom: null,
    unknown: `could not start: ${fault.message}`,
    killedBy: fork.stop?.killedBy ?? null,
  }
  note(fork, out)
  stateFact(state, fork, 'exited', out)
  out.push({ type: 'cancel', forkId: fork.spec.forkId })
}
