/**
 * What the agent does by itself, each beat: say that it lives, look at the state log's tail, and end what
 * nobody answers for: forks whose fence ran out, and all of them when no coordinator gave a sign of life for
 * a day.
 */
import type { Cause } from '../../protocol/causes.ts'
import { stopFork } from './ladder.ts'
import { raiseEpoch } from './refusals.ts'
import type { Epoch } from '../../protocol/shapes.ts'
import type { AgentState, Fork, Out } from './agent-state.ts'

export function beat(state: AgentState, at: number, loopLagMs: number, out: Out): void {
  const { rev, epoch, storeRefused, leaving } = state
  out.push({ type: 'beat', tick: at, rev, loopLagMs, epoch, storeRefused, leaving })
}

export function onTick(state: AgentState, at: number, loopLagMs: number, out: Out): void {
  if (state.phase === 'serving') {
    beat(state, at, loopLagMs, out)
    if (!state.tailReading && at >= state.nextTailReadAt) readTail(state, out)
  }
  if (state.phase === 'recovering') return
  const live = [...state.forks.values()].filter((fork) => fork.phase === 'running' || fork.phase === 'exited')
  if (live.length === 0) return
  if (at - state.coordinatorAt >= state.settings.orphanAfterMs)
    for (const fork of live) end(fork, { by: 'orphan' }, at, out)
  const fenced = live.filter((fork) => fork.spec.fenceAfterMs !== null)
  for (const fork of fenced)
    if (at - Math.max(state.contactAt, fork.runningSince ?? 0) >= fork.spec.fenceAfterMs!)
      end(fork, { by: 'fence' }, at, out)
  if (fenced.length > 0) out.push({ type: 'round-trip' })
}

function end(fork: Fork, killedBy: Cause, at: number, out: Out): void {
  if (fork.stop === null)
    stopFork(fork, { signal: fork.spec.stop.signal, graceMs: fork.spec.stop.graceMs, killedBy }, at, out)
}

export function readTail(state: AgentState, out: Out): void {
  state.tailReading = true
  out.push({ type: 'read-tail' })
}

/**
 * The tail was read. The first time lets the agent join: from here on it knows which coordinators are
 * deposed.
 */
export function onTail(state: AgentState, epoch: Epoch | null, seq: number, at: number, out: Out): void {
  state.tailReading = false
  state.nextTailReadAt = at + state.settings.tailReadMs
  if (seq !== state.tailSeq) state.coordinatorAt = at
  state.tailSeq = seq
  if (epoch !== null) {
    if (state.epoch !== null && state.epoch.storeId !== epoch.storeId) state.storeRefused = true
    raiseEpoch(state, epoch, out)
  }
  if (state.phase !== 'joining') return
  state.phase = 'serving'
  out.push({ type: 'join' })
  beat(state, at, 0, out)
}

const RETRY_MS = 200

export function onTailUnreadable(state: AgentState, at: number, out: Out): void {
  state.tailReading = false
  state.nextTailReadAt = at + state.settings.tailReadMs
  if (state.phase === 'joining') out.push({ type: 'timer', afterMs: RETRY_MS, timer: { kind: 'read-tail' } })
}

export function onReadTailTimer(state: AgentState, out: Out): void {
  if (state.phase === 'joining' && !state.tailReading) readTail(state, out)
}
