/**
 * The stop ladder: note who ordered it, pre-stop call, the signal to the tree, grace, SIGKILL to the tree
 * until the host says empty. A ladder only ever gets shorter. The note stands in the spool before the first
 * signal leaves, so that an exit keeps its cause though the agent dies in between.
 */
import type { Cause } from '../../protocol/causes.ts'
import { note } from './report.ts'
import type { AgentState, Fork, Out } from './agent-state.ts'

export interface StopOrder {
  /** null: straight to SIGKILL */
  signal: string | null
  graceMs: number
  killedBy: Cause
}

function isLive(fork: Fork): boolean {
  return fork.phase === 'starting' || fork.phase === 'running' || fork.phase === 'exited'
}

/**
 * Begin the ladder, or shorten the one that is being climbed. For forks of which something may run; others
 * are left alone.
 */
export function stopFork(fork: Fork, order: StopOrder, at: number, out: Out): void {
  if (!isLive(fork)) return
  if (fork.stop !== null) return shorten(fork, order, at, out)
  fork.stop = {
    ...order,
    step: fork.phase === 'starting' ? 'waiting' : 'noting',
    since: null,
    deadline: null,
    generation: 0,
  }
  if (fork.phase === 'exited') return climb(fork, at, out)
  if (fork.phase === 'running') note(fork, out, true)
}

/** The start is known: a stop that waited for it begins. */
export function stopStarted(fork: Fork, out: Out): void {
  if (fork.stop?.step !== 'waiting') return
  fork.stop.step = 'noting'
  note(fork, out, true)
}

/**
 * The root ended by itself: what is left of its tree gets the role's signal and grace. Nothing is noted,
 * nobody ordered it.
 */
export function stopResidue(fork: Fork, at: number, out: Out): void {
  if (fork.phase !== 'exited' || fork.stop !== null) return
  fork.stop = {
    killedBy: null,
    signal: fork.spec.stop.signal,
    graceMs: fork.spec.stop.graceMs,
    step: 'noting',
    since: null,
    deadline: null,
    generation: 0,
  }
  climb(fork, at, out)
}

/** The note stands. */
export function stopNoted(fork: Fork, at: number, out: Out): void {
  if (fork.stop?.step === 'noting' && isLive(fork)) climb(fork, at, out)
}

export function stopPreStopped(fork: Fork, at: number, out: Out): void {
  if (fork.stop?.step === 'pre-stop' && isLive(fork)) signalTree(fork, at, out)
}

export function stopGraceOver(fork: Fork, generation: number, at: number, out: Out): void {
  if (fork.stop?.step === 'grace' && fork.stop.generation === generation && isLive(fork))
    killTree(fork, at, out)
}

/** The host could do no more, or says so: it is tried again until the tree is empty. */
export function stopTreeKilled(state: AgentState, fork: Fork, out: Out): void {
  if (isLive(fork))
    out.push({
      type: 'timer',
      afterMs: state.settings.killAgainMs,
      timer: { kind: 'kill-again', forkId: fork.spec.forkId },
    })
}
export function stopKillAgain(fork: Fork, out: Out): void {
  if (isLive(fork) && fork.stop?.step === 'killing') out.push({ type: 'kill-tree', forkId: fork.spec.forkId })
}

function climb(fork: Fork, at: number, out: Out): void {
  const stop = fork.stop!
  if (stop.signal === null) return killTree(fork, at, out)
  if (fork.phase === 'running' && fork.spec.preStop !== null) {
    stop.step = 'pre-stop'
    out.push({ type: 'pre-stop', forkId: fork.spec.forkId })
    return
  }
  signalTree(fork, at, out)
}

function signalTree(fork: Fork, at: number, out: Out): void {
  const stop = fork.stop!
  stop.since ??= at
  // at once, not by a timer of no time: a kill is not to wait behind the other timers of a busy agent
  if (stop.graceMs === 0 || stop.signal === null) return killTree(fork, at, out)
  stop.step = 'grace'
  out.push({ type: 'signal-tree', forkId: fork.spec.forkId, signal: stop.signal })
  armGrace(fork, at + stop.graceMs, at, out)
}

function armGrace(fork: Fork, deadline: number, at: number, out: Out): void {
  const stop = fork.stop!
  stop.deadline = deadline
  stop.generation++
  out.push({
    type: 'timer',
    afterMs: Math.max(0, deadline - at),
    timer: { kind: 'grace', forkId: fork.spec.forkId, generation: stop.generation },
  })
}

function killTree(fork: Fork, at: number, out: Out): void {
  const stop = fork.stop!
  stop.since ??= at
  stop.step = 'killing'
  out.push({ type: 'kill-tree', forkId: fork.spec.forkId })
}

function shorten(fork: Fork, order: StopOrder, at: number, out: Out): void {
  const stop = fork.stop!
  const now = order.signal === null || order.graceMs === 0
  switch (stop.step) {
    case 'waiting':
    case 'noting':
      if (order.signal === null) stop.signal = null
      stop.graceMs = Math.min(stop.graceMs, order.graceMs)
      return
    case 'pre-stop':
      if (now) return killTree(fork, at, out)
      stop.graceMs = Math.min(stop.graceMs, order.graceMs)
      return
    case 'grace':
      if (now) return killTree(fork, at, out)
      if (at + order.graceMs < stop.deadline!) armGrace(fork, at + order.graceMs, at, out)
      return
    case 'killing':
      return
  }
}
