/**
 * The node agent's `step`: total over every event in every phase, pure, and the only place that changes its
 * state.
 */
import { Fault } from '../../protocol/faults.ts'
import { stopGraceOver, stopNoted, stopPreStopped, stopResidue, stopTreeKilled } from './ladder.ts'
import { onFactAcked, onHealth, onHostEvent, onKillAgain, onLogsFinal, onReadyTimeout } from './lifecycle.ts'
import { onCancelled, onLapse, onPrepared, onStarted } from './starts.ts'
import { stepOrder } from './obey-orders.ts'
import { recoverFork } from './recover.ts'
import { note, stateFact } from './report.ts'
import { SENT_SIGNALS_MAX, type NodeCapacity } from '../../protocol/shapes.ts'
import { beat, onReadTailTimer, onTail, onTailUnreadable, onTick, readTail } from './watch.ts'
import type { AgentCommand, AgentEvent, AgentState, AgentTimer, Out } from './agent-state.ts'

export function stepAgent(
  state: AgentState,
  event: AgentEvent,
): readonly [AgentState, readonly AgentCommand[]] {
  const out: Out = []
  if (state.phase !== 'ended') decide(state, event, out)
  return [state, out]
}

function decide(state: AgentState, event: AgentEvent, out: Out): void {
  switch (event.type) {
    case 'recovered':
      return onRecovered(state, event, out)
    case 'capacity':
      return onCapacity(state, event.capacity)
    case 'tail':
      return onTail(state, event.epoch, event.seq, event.at, out)
    case 'tail-unreadable':
      return onTailUnreadable(state, event.at, out)
    case 'order':
      return stepOrder(state, event, out)
    case 'prepared':
      return onPrepared(state, event.token, event.forkIds, event.leases, event.fault, event.at, out)
    case 'cancelled':
      return onCancelled(state, event.forkId, event.proven, event.fault, event.at, out)
    case 'signalled':
      return onSignalled(state, event, out)
    case 'remembered':
      return void out.push({ type: 'reply', order: event.order, body: {} })
    case 'host':
      return onHostEvent(state, event.event, event.at, out)
    case 'health':
      return onHealth(state, event.order, event, out)
    case 'tick':
      return onTick(state, event.at, event.loopLagMs, out)
    case 'round-trip':
      return void (state.contactAt = Math.max(state.contactAt, event.sentAt))
    case 'resync':
      state.coordinatorAt = event.at
      if (state.phase === 'serving') beat(state, event.at, 0, out)
      return
    case 'timer':
      return onTimer(state, event.timer, event.at, out)
    case 'leave':
      state.leaving = true
      if (state.phase === 'serving') beat(state, event.at, 0, out)
      return end(state, 'stopped', out)
    case 'superseded':
      return end(state, 'superseded', out)
    case 'started':
    case 'noted':
    case 'pre-stopped':
    case 'tree-killed':
    case 'fact-acked':
    case 'logs-final':
      return decideFork(state, event, out)
  }
}

type EventOf<T extends AgentEvent['type']> = Extract<AgentEvent, { type: T }>

function onRecovered(state: AgentState, event: EventOf<'recovered'>, out: Out): void {
  state.capacity = event.capacity
  state.epoch = event.epoch
  state.phase = 'joining'
  state.coordinatorAt = event.at
  state.contactAt = event.at
  for (const fork of event.forks) recoverFork(state, fork, event.at, out)
  if (event.forks.some((fork) => fork.phase === 'prepared'))
    out.push({
      type: 'timer',
      afterMs: state.settings.prepareLapseMs,
      timer: { kind: 'lapse', token: '' },
    })
  readTail(state, out)
}

/** It is a fact of the node: with the next beat the coordinator knows that there is one more, and asks. */
function onCapacity(state: AgentState, capacity: NodeCapacity): void {
  if (state.capacity === null || JSON.stringify(capacity) === JSON.stringify(state.capacity)) return
  state.capacity = capacity
  state.rev++
}

function onSignalled(state: AgentState, event: EventOf<'signalled'>, out: Out): void {
  const { order, forkId, sent, result } = event
  const refuse = (fault: Fault): void => void out.push({ type: 'fault', order, fault: fault.toBody() })
  if (result.fatal.length > 0)
    return refuse(
      new Fault('FAILED', `${sent.signal} would end ${result.fatal.join(', ')}: no handler for it`, {
        hint: '--force sends it all the same; --to root|ranks|tree says who is meant',
      }),
    )
  const fork = state.forks.get(forkId)
  if (result.reached === 0 || fork === undefined)
    return refuse(new Fault('WORKER_NOT_FOUND', `no such process of ${forkId}`))
  fork.signals = [...fork.signals, sent].slice(-SENT_SIGNALS_MAX)
  out.push({ type: 'reply', order, body: {} })
  note(fork, out)
  stateFact(state, fork, 'signalled', out)
}

type ForkEvent = EventOf<'started' | 'noted' | 'pre-stopped' | 'tree-killed' | 'fact-acked' | 'logs-final'>

function decideFork(state: AgentState, event: ForkEvent, out: Out): void {
  const fork = state.forks.get(event.forkId)
  if (fork === undefined) return
  switch (event.type) {
    case 'started':
      return onStarted(state, fork, event.start, event.fault, event.at, out)
    case 'noted':
      return stopNoted(fork, event.at, out)
    case 'pre-stopped':
      return stopPreStopped(fork, event.at, out)
    case 'tree-killed':
      return stopTreeKilled(state, fork, out)
    case 'fact-acked':
      return onFactAcked(state, fork, event.what, out)
    case 'logs-final':
      return onLogsFinal(state, fork, event.offsets, out)
  }
}

function onTimer(state: AgentState, timer: AgentTimer, at: number, out: Out): void {
  if (timer.kind === 'lapse') return onLapse(state, timer.token, out)
  if (timer.kind === 'read-tail') return onReadTailTimer(state, out)
  const fork = state.forks.get(timer.forkId)
  if (fork === undefined) return
  switch (timer.kind) {
    case 'grace':
      return stopGraceOver(fork, timer.generation, at, out)
    case 'residue':
      return stopResidue(fork, at, out)
    case 'kill-again':
      return onKillAgain(fork, out)
    case 'ready':
      return onReadyTimeout(state, fork, at, out)
  }
}

function end(state: AgentState, why: 'stopped' | 'superseded', out: Out): void {
  state.phase = 'ended'
  out.push({ type: 'end', why })
}
