/** I7, I8: what waits is bounded, leases lapse, and after the faults everything comes to rest. */
import type { Fact } from '../history.ts'
import type { Check } from './invariant.ts'

/**
 * Leases are bounded in time: what is prepared and never started is given back, whatever became of the
 * coordinator.
 */
export const preparesLapse: Check = ({ facts, prepareLapseMs }, found) => {
  const end = facts.at(-1)?.at ?? 0
  for (const [i, fact] of facts.entries()) {
    if (fact.kind !== 'machine' || fact.what !== 'prepared') continue
    const { forkId, node } = fact
    const deadline = fact.at + prepareLapseMs + 1000
    if (deadline > end) continue
    let excused = false
    for (let k = i + 1; k < facts.length && !excused && facts[k]!.at <= deadline; k++) {
      const other = facts[k]!
      excused =
        (other.kind === 'machine' && other.forkId === forkId) ||
        (other.kind === 'process' && other.role === 'agent' && `n${other.slot}` === node) ||
        (other.kind === 'order' &&
          other.stage === 'delivered' &&
          other.node === node &&
          other.forks.includes(forkId))
    }
    // frozen when the time came
    const state = facts
      .slice(0, i)
      .findLast(
        (other) => other.kind === 'process' && other.role === 'agent' && `n${other.slot}` === node,
      ) as Extract<Fact, { kind: 'process' }> | undefined
    if (!excused && (state?.what === 'up' || state?.what === 'thawed'))
      found(deadline, `${forkId} is still prepared on ${node}, and nobody has come to start it`)
  }
}

export const bounded: Check = ({ bounds }, found) => {
  if (bounds.timers > 5000) found(0, `${bounds.timers} timers waited at once`)
  if (bounds.stateEntries > bounds.stateEntriesMax)
    found(
      0,
      `STATE holds ${bounds.stateEntries} entries; snapshots should keep it under ${bounds.stateEntriesMax}`,
    )
  if (bounds.inboxes > 100) found(0, `${bounds.inboxes} questions wait for ever`)
}

export const converges: Check = ({ converged, left }, found) => {
  if (!converged)
    found(
      0,
      `after the faults it did not come to rest: ${left.slice(0, 6).join('; ')}${left.length > 6 ? `; and ${left.length - 6} more` : ''}`,
    )
}
