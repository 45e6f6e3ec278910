/** I1: launches are accepted once, and no order leaves before its intent is acknowledged. */
import { type Check, resetIn } from './invariant.ts'

export const acceptedLaunches: Check = ({ facts }, found) => {
  const reset = resetIn(facts)
  const accepted = new Map<string, Set<string>>()
  const rejected = new Set<string>()
  const known = new Set<string>()
  for (const fact of facts) {
    if (fact.kind !== 'event' || 'phase' in fact.body) continue
    const { what, run, key } = fact.body
    if (what === 'accepted') {
      known.add(run)
      if (key != null) accepted.set(key, (accepted.get(key) ?? new Set()).add(run))
    }
    if (what === 'rejected' && key != null) rejected.add(key)
  }
  const answers = new Map<string, string>()
  for (const fact of facts) {
    if (fact.kind === 'client' && fact.answer !== null) {
      const { key, answer } = fact
      if (fact.at < reset && reset < Infinity) continue
      if (!known.has(answer.run)) found(fact.at, `run ${answer.run} was answered, and never heard of again`)
      if (key !== null && (answers.get(key) ?? answer.run) !== answer.run)
        found(fact.at, `key ${key} was answered with ${answers.get(key)} and ${answer.run}`)
      if (key !== null) answers.set(key, answer.run)
    }
    if (fact.kind === 'queued' && reset === Infinity) {
      const key = fact.key ?? String(fact.seq)
      if (
        !accepted.has(key) &&
        !rejected.has(key) &&
        ![...accepted.keys(), ...rejected].some(
          (other) => fact.key === null && other.endsWith(`.${fact.seq}`),
        )
      )
        found(fact.at, `the durable launch ${fact.seq} (key ${key}) was neither accepted nor rejected`)
    }
  }
  if (reset < Infinity) return
  for (const [key, runs] of accepted)
    if (runs.size > 1) found(0, `key ${key} made the runs ${[...runs].join(', ')}`)
  const asked = new Set(
    facts.flatMap((fact) =>
      fact.kind === 'client' ? [fact.key] : fact.kind === 'queued' ? [fact.key ?? fact.seq] : [],
    ),
  )
  if (known.size > asked.size)
    found(0, `${asked.size} launches made ${known.size} runs: ${[...known].join(', ')}`)
}

/**
 * No order leaves before its intent is acknowledged: a leader whose append was refused would act on what
 * nobody knows.
 */
export const intentBeforeOrder: Check = ({ facts }, found) => {
  const intended = new Set<string>()
  for (const fact of facts) {
    if (fact.kind === 'state')
      for (const op of fact.entry.ops)
        if (op.op === 'run')
          for (const worker of op.run.workers)
            if (worker.phase === 'placed')
              intended.add(`${op.run.run}.${worker.role}.${worker.index}.${worker.attempt}`)
    if (fact.kind === 'order' && fact.stage === 'message' && fact.verb === 'prepare')
      for (const forkId of fact.forks)
        if (!intended.has(forkId))
          found(fact.at, `${fact.from} ordered to prepare ${forkId}, and no entry says so`)
  }
}
