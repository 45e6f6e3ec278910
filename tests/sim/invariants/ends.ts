/** I4: every end is told once, and truly. */
import { isTerminal } from '../../../src/protocol/shapes.ts'
import { type Check, isWorkerEvent, resetIn, sameExit } from './invariant.ts'
import type { TrueExit } from '../../support/sim-tree.ts'

const ONCE = ['started', 'exited', 'gone', 'logs-final', 'cancelled']

export const trueEnds: Check = ({ facts, converged }, found) => {
  const reset = resetIn(facts)
  const truth = new Map<string, TrueExit>()
  const spawned = new Set<string>()
  const told = new Map<string, number>()
  const ended = new Map<string, number>()
  for (const fact of facts) {
    if (fact.kind === 'machine' && fact.what === 'spawned') spawned.add(fact.forkId)
    if (fact.kind === 'machine' && fact.what === 'root-exited') truth.set(fact.forkId, fact.exit)
    if (fact.kind === 'event' && fact.body.what === 'ended' && fact.at < reset)
      ended.set(fact.body.run, (ended.get(fact.body.run) ?? 0) + 1)
    if (isWorkerEvent(fact)) {
      const { forkId, what, exit, startFault } = fact.body
      if (ONCE.includes(what) && fact.at < reset)
        told.set(`${forkId} ${what}`, (told.get(`${forkId} ${what}`) ?? 0) + 1)
      if (
        exit !== null &&
        !(startFault !== null && !truth.has(forkId)) &&
        !(truth.has(forkId) && sameExit(truth.get(forkId)!, exit))
      )
        found(
          fact.at,
          `${forkId} was said to have ended with ${JSON.stringify(exit)}, and it ${truthText(truth.get(forkId))}`,
        )
    }
    if (fact.kind === 'archive')
      for (const { forkId, exit, worker } of fact.status.workers) {
        const real = truth.get(forkId)
        if (exit !== null && exit.unknown === null && real !== undefined && !sameExit(real, exit))
          found(
            fact.at,
            `the end of ${worker} is kept as ${JSON.stringify(exit)}, and it was ${JSON.stringify(real)}`,
          )
        if (fact.at < reset && real !== undefined && (exit === null || exit.unknown !== null))
          found(fact.at, `the end of ${worker} was lost: ${JSON.stringify(exit)} for ${JSON.stringify(real)}`)
        if (!isTerminal(fact.status.state))
          found(fact.at, `run ${fact.status.run} was archived while ${fact.status.state}`)
      }
  }
  for (const [what, times] of told) if (times > 1) found(0, `${what} is in the event stream ${times} times`)
  for (const [run, times] of ended) if (times > 1) found(0, `run ${run} ended ${times} times`)
  if (converged && reset === Infinity)
    for (const forkId of spawned)
      for (const what of ['started', 'exited', 'gone', 'logs-final'])
        if (!told.has(`${forkId} ${what}`)) found(0, `${forkId} ran, and no event says ${what}`)
}

function truthText(exit: TrueExit | undefined): string {
  return exit === undefined ? 'runs' : `ended with ${JSON.stringify(exit)}`
}
