/** When a world is at rest: nothing runs, every spool is released, and every end was told. */
import type { Fact, WorkerEventBody } from '../history.ts'

/** What is not at rest: runs, forks whose spool is kept, trees that live, logs whose end is not told. */
export interface Open {
  runs: Map<string, number>
  forks: Map<string, number>
  trees: Map<string, number>
  untold: Map<string, number>
  /** runs of a store that was lost: what is left of them is only listed */
  known: Set<string>
  lost: Set<string>
}

export function track(open: Open, fact: Fact): void {
  if (fact.kind === 'store-reset') {
    for (const map of [open.runs, open.forks, open.trees, open.untold]) map.clear()
    for (const run of open.known) open.lost.add(run)
  }
  if (fact.kind === 'state')
    for (const op of fact.entry.ops)
      if (op.op === 'run') {
        open.known.add(op.run.run)
        // somebody asked again under the same key: the run stands in the new store
        open.lost.delete(op.run.run)
      }
  // a leader of the lost store may still tell what it accepted there: nobody can end that run any more
  if (fact.kind === 'event' && fact.body.what === 'accepted' && !open.lost.has(fact.body.run))
    open.runs.set(fact.body.run, fact.at)
  if (fact.kind === 'event' && fact.body.what === 'ended') open.runs.delete(fact.body.run)
  if (fact.kind === 'event' && fact.body.what === 'logs-final')
    open.untold.delete((fact.body as WorkerEventBody).forkId)
  if (fact.kind !== 'machine') return
  const run = fact.forkId.split('.')[0]!
  open.known.add(run)
  if (open.lost.has(run)) return
  if (fact.what === 'prepared') open.forks.set(fact.forkId, fact.at)
  if (fact.what === 'dropped' || fact.what === 'released') open.forks.delete(fact.forkId)
  if (fact.what === 'spawned' && fact.root) open.untold.set(fact.forkId, fact.at)
  if (fact.what === 'spawned') open.trees.set(fact.forkId, fact.at)
  if (fact.what === 'empty') open.trees.delete(fact.forkId)
}

export function newOpen(): Open {
  return {
    runs: new Map(),
    forks: new Map(),
    trees: new Map(),
    untold: new Map(),
    known: new Set(),
    lost: new Set(),
  }
}

/** What is not at rest, in words. */
export function openText({ runs, forks, trees, untold }: Open): string[] {
  return [
    ...[...runs.keys()].map((run) => `run ${run} has not ended`),
    ...[...trees.keys()].map((forkId) => `a tree of ${forkId} lives`),
    ...[...forks.keys()].filter((forkId) => !trees.has(forkId)).map((forkId) => `${forkId} is not released`),
    ...[...untold.keys()].map((forkId) => `the logs of ${forkId} are not final`),
  ]
}
