/**
 * The stop ladder: note who ordered it, pre-stop call, the signal to the root (once) or to the tree, the same
 * to what is left when the root has ended, further signals where the role has them, SIGKILL to the tree until
 * the host says empty. All signals share one grace. A ladder only ever gets shorter. The note stands in the
 * spool before the first signal leaves, so that an exit keeps its cause though the agent dies in between.
 */
import type { Cause } from '../../protocol/causes.ts'
import { note } from './report.ts'
import type { AgentState, Fork, Out, Stop } from './agent-state.ts'

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
  fork.stop = newStop(order, fork.phase === 'starting' ? 'waiting' : 'noting')
  fork.stop.afterExit = fork.phase === 'exited'
  if (fork.phase !== 'exited' && fork.spec.stop.saved !== undefined) askSaved(fork, order.signal, out)
  if (fork.phase === 'exited') return climb(fork, at, out)
  if (fork.phase === 'running') note(fork, out, true)
}

/** From here on its word counts that it saved. Without a signal it has no time to. */
function askSaved(fork: Fork, signal: string | null, out: Out): void {
  fork.saved = null
  if (signal !== null) out.push({ type: 'watch-saved', forkId: fork.spec.forkId })
}

function newStop(order: Omit<StopOrder, 'killedBy'> & Pick<Stop, 'killedBy'>, step: Stop['step']): Stop {
  const { signal, graceMs, killedBy } = order
  return {
    signal,
    graceMs,
    killedBy,
    afterExit: false,
    sent: 0,
    toTree: false,
    step,
    since: null,
    deadline: null,
    generation: 0,
  }
}

/**
 * The agent died within a stop. What was sent is not sent again; the grace begins anew, since nobody knows
 * how much of it is over.
 */
export function resumeStop(
  fork: Fork,
  order: StopOrder & Pick<Stop, 'sent' | 'afterExit'>,
  at: number,
  out: Out,
): void {
  fork.stop = { ...newStop(order, 'noting'), sent: order.sent, afterExit: order.afterExit }
  if (order.sent === 0 || order.signal === null || order.graceMs === 0)
    return fork.phase === 'exited' ? climb(fork, at, out) : note(fork, out, true)
  fork.stop.step = 'grace'
  fork.stop.since = at - (offsetOf(fork, order.sent - 1) ?? 0)
  fork.stop.deadline = at + order.graceMs
  arm(fork, at, out)
}

/** The start is known: a stop that waited for it begins. */
export function stopStarted(fork: Fork, out: Out): void {
  if (fork.stop?.step !== 'waiting') return
  fork.stop.step = 'noting'
  note(fork, out, true)
}

/**
 * The root has ended, by itself or by a stop: what is left of its tree gets the role's signal, within the
 * grace. Nothing is noted when nobody ordered it.
 */
export function stopResidue(fork: Fork, at: number, out: Out): void {
  if (fork.phase !== 'exited') return
  if (fork.stop === null) {
    fork.stop = newStop({ ...fork.spec.stop, killedBy: null }, 'noting')
    return climb(fork, at, out)
  }
  if (fork.stop.step === 'grace' && !fork.stop.toTree) send(fork, out)
}

/** The note stands. */
export function stopNoted(fork: Fork, at: number, out: Out): void {
  if (fork.stop?.step === 'noting' && isLive(fork)) climb(fork, at, out)
}

export function stopPreStopped(fork: Fork, at: number, out: Out): void {
  if (fork.stop?.step === 'pre-stop' && isLive(fork)) signalNext(fork, at, out)
}

export function stopGraceOver(fork: Fork, generation: number, at: number, out: Out): void {
  if (fork.stop?.step !== 'grace' || fork.stop.generation !== generation || !isLive(fork)) return
  const next = offsetOf(fork, fork.stop.sent)
  if (next !== null && fork.stop.since! + next < fork.stop.deadline!) signalNext(fork, at, out)
  else killTree(fork, at, out)
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
  signalNext(fork, at, out)
}

/** When the n-th signal is due, counted from the first. @returns null when there is no such signal */
function offsetOf({ spec }: Fork, n: number): number | null {
  return n === 0 ? 0 : (spec.stop.further?.[n - 1]?.afterMs ?? null)
}

function signalNext(fork: Fork, at: number, out: Out): void {
  const stop = fork.stop!
  stop.since ??= at
  // at once, not by a timer of no time: a kill is not to wait behind the other timers of a busy agent
  if (stop.graceMs === 0 || stop.signal === null) return killTree(fork, at, out)
  stop.step = 'grace'
  stop.deadline ??= at + stop.graceMs
  stop.sent++
  send(fork, out)
  if (stop.killedBy !== null) note(fork, out)
  arm(fork, at, out)
}

function send(fork: Fork, out: Out): void {
  const { forkId, stop: ladder } = fork.spec
  const stop = fork.stop!
  stop.toTree = ladder.to === 'tree' || fork.phase === 'exited'
  const signal = stop.sent === 1 ? stop.signal! : ladder.further![stop.sent - 2]!.signal
  out.push({ type: stop.toTree ? 'signal-tree' : 'signal-root', forkId, signal })
}

/** Until the next signal, or SIGKILL. */
function arm(fork: Fork, at: number, out: Out): void {
  const stop = fork.stop!
  const next = offsetOf(fork, stop.sent)
  const due = Math.min(stop.deadline!, next === null ? Infinity : stop.since! + next)
  stop.generation++
  out.push({
    type: 'timer',
    afterMs: Math.max(0, due - at),
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
      if (at + order.graceMs >= stop.deadline!) return
      stop.deadline = at + order.graceMs
      return arm(fork, at, out)
    case 'killing':
      return
  }
}
