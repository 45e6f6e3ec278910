/**
 * What a worker's exit means, and which rank it was: the rows of the table of ends that speak of one worker.
 */
import { isBy } from '../../protocol/causes.ts'
import { exitedCleanly } from './exit-code.ts'
import { failedRank } from './ranks.ts'
import type { RoleLive, Worker } from './types.ts'
import { exitOf, startedAtOf, viewOf } from './worker.ts'

export type Outcome = 'ok' | 'failed' | 'stopped'

/** Its agent ended it because nobody spoke to it: for the run it is lost. */
export function isLost(worker: Worker): boolean {
  const killedBy = exitOf(worker)?.killedBy
  return worker.spoolLost || isBy(killedBy, 'fence') || isBy(killedBy, 'orphan')
}

/** Its agent, its node or its torchrun went, and none of its ranks failed before. */
export function wentAway(worker: Worker): boolean {
  if (isLost(worker)) return true
  const exit = exitOf(worker)
  if (exit === null || exit.killedBy !== null || startedAtOf(worker) === null) return false
  if (exit.signal !== 'SIGKILL' && exit.unknown === null) return false
  const failed = failedRank(viewOf(worker))
  return failed === null || failed.exit.signal === 'SIGTERM'
}

/** Its readiness probe ran out of patience: the agent ended it, and that is a failure. */
export function isNotReady(worker: Worker): boolean {
  return isBy(exitOf(worker)?.killedBy, 'not-ready')
}

/** A worker that we stopped is never a failure, whatever it exits with. */
export function outcomeOf(worker: Worker): Outcome | null {
  const exit = exitOf(worker)
  if (
    worker.record.ending !== null ||
    (exit !== null && exit.killedBy !== null && !isLost(worker) && !isNotReady(worker))
  )
    return 'stopped'
  if (exit === null) return worker.record.phase === 'ended' ? 'stopped' : null
  if (!exitedCleanly(exit) || isNotReady(worker)) return 'failed'
  return worker.role.spec.kind === 'service' && isNeeded(worker.role) ? 'failed' : 'ok'
}

/** Workers that an elastic role was started without: they never had a place. */
export function isLeftOut({ record, role }: Worker): boolean {
  return (
    record.phase === 'waiting' &&
    record.attempt === 0 &&
    record.node === null &&
    isElastic(role.spec) &&
    role.workers[0]!.record.node !== null
  )
}

export function isElastic({ minReplicas, replicas }: RoleLive['spec']): boolean {
  return minReplicas < replicas
}

/** Workers of an elastic role that went, and the others have begun a new attempt without them. */
export function hasLeft({ record, role }: Worker): boolean {
  return (
    isElastic(role.spec) &&
    record.phase === 'ended' &&
    role.workers.some((other) => other.record.attempt > record.attempt)
  )
}

/** So many workers a role has now. */
export function presentOf({ spec, workers }: RoleLive): number {
  if (!isElastic(spec)) return workers.length
  return workers.filter((worker) => !isLeftOut(worker) && !hasLeft(worker)).length
}

/** Every worker has ended (its root, not its last straggler), and none is to be started again. */
export function isDone(role: RoleLive): boolean {
  const { exited, ended } = role.counts
  // an attempt that is void says nothing of the role: it is tried again, or the run could not be started
  if (role.restart !== null || exited + ended === 0 || [...role.gangs].some((gang) => gang.abort !== null))
    return false
  if (exited + ended === role.workers.length) return true
  return (
    isElastic(role.spec) &&
    role.workers.every(
      (worker) =>
        isLeftOut(worker) ||
        worker.record.phase === 'ended' ||
        // one that waits to be started again has the exit of its last attempt
        (worker.record.phase === 'placed' && exitOf(worker) !== null),
    )
  )
}

export function isWork(role: RoleLive): boolean {
  return role.spec.kind !== 'service'
}

/**
 * Do others need this service? Those that say that they depend on it; nobody says so: everything that is
 * still to be done, and in a run of services alone the person who asked for it.
 */
function isNeeded(role: RoleLive): boolean {
  const { run } = role
  if (run.spec.stopWhen?.role === role.spec.name) return false
  const others =
    role.dependents.length > 0
      ? role.dependents
      : run.roles.filter((other) => other !== role && isWork(other))
  return others.length === 0 || others.some((other) => !isDone(other))
}

/** Has a role come as far as one that depends on it waits for? `done` counts failure too. */
export function isMet(on: RoleLive, condition: 'started' | 'ready' | 'done'): boolean {
  const { counts } = on
  const there = presentOf(on)
  switch (condition) {
    case 'started':
      return counts.started + counts.ready + counts.exited + counts.ended >= there
    case 'ready':
      // work that was ready and has ended well was ready
      return (
        counts.ready >= there ||
        (isWork(on) &&
          counts.ready + counts.exited + counts.ended >= there &&
          on.workers.every((worker) => worker.report?.ready === true || exitOf(worker)?.code === 0))
      )
    case 'done':
      return isDone(on)
    default:
      return condition satisfies never
  }
}
