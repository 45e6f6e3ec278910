/** I2, I3, I10: one tree a worker, gone is gone, orphans end. */
import { type Check, isWorkerEvent, workerOf } from './invariant.ts'

export const oneTree: Check = ({ facts }, found) => {
  const live = new Map<string, Set<string>>()
  const started = new Map<string, string>()
  for (const fact of facts) {
    if (fact.kind === 'store-reset') {
      // whoever asks again under the same key gets the same names: what ran before belongs to nobody
      live.clear()
      started.clear()
    }
    if (fact.kind !== 'machine') continue
    const worker = workerOf(fact.forkId)
    const trees = live.get(worker) ?? new Set<string>()
    live.set(worker, trees)
    if (fact.what === 'spawned' && fact.root) {
      const before = started.get(fact.forkId)
      if (before !== undefined)
        found(fact.at, `${fact.forkId} was started on ${before} and again on ${fact.node}`)
      started.set(fact.forkId, fact.node)
      if (trees.size > 0)
        found(fact.at, `${fact.forkId} was started on ${fact.node} beside ${[...trees].join(', ')}`)
      trees.add(fact.forkId)
    }
    if (fact.what === 'empty') trees.delete(fact.forkId)
  }
}

export const goneIsGone: Check = ({ facts }, found) => {
  const live = new Map<string, number>()
  const gone = new Map<string, string>()
  for (const fact of facts) {
    if (fact.kind === 'store-reset') {
      gone.clear()
      live.clear()
    }
    if (fact.kind === 'machine' && fact.what === 'spawned') {
      live.set(fact.forkId, (live.get(fact.forkId) ?? 0) + 1)
      if (gone.has(fact.forkId))
        found(fact.at, `a process of ${fact.forkId} began after it was said to be ${gone.get(fact.forkId)}`)
    }
    if (fact.kind === 'machine' && fact.what === 'empty') live.delete(fact.forkId)
    if (
      isWorkerEvent(fact) &&
      (fact.body.phase === 'cancelled' ||
        (fact.body.phase === 'gone' && fact.body.receipt?.outcome === 'gone'))
    ) {
      gone.set(fact.body.forkId, fact.body.phase)
      if (live.has(fact.body.forkId))
        found(fact.at, `${fact.body.forkId} was said to be ${fact.body.phase} while processes of it live`)
    }
  }
}

export const orphansEnd: Check = ({ facts }, found) => {
  for (const fact of facts)
    if (fact.kind === 'orphans' && fact.trees.length > 0)
      found(
        fact.at,
        `${fact.node} still runs ${fact.trees.join(', ')}, and nobody has answered for them for longer than the bound`,
      )
}
