/**
 * An elastic role goes on with fewer nodes when one goes: a new attempt, a new world, of those that are left.
 * A rank that fails is no node that goes.
 */
import type { Cause } from '../../protocol/causes.ts'
import { isElastic, wentAway } from './outcome.ts'
import { beginRestart } from './restart.ts'
import { live } from './stages.ts'
import type { Ctx, Worker } from './types.ts'
import { exitOf } from './worker.ts'

/** @returns false: that is a failure of the role like any other */
export function goOnWithFewer(ctx: Ctx, worker: Worker, failure: string, by: Cause): boolean {
  const { role } = worker
  const { minReplicas, replicas } = role.spec
  if (!isElastic(role.spec) || role.restart !== null || !wentAway(worker)) return false
  const left = role.workers.filter(
    (other) => other !== worker && live(other) && other.record.ending === null && exitOf(other) === null,
  )
  const isEnding = role.workers.some((other) => live(other) && exitOf(other)?.code === 0)
  if (left.length < minReplicas || isEnding) return false
  beginRestart(ctx, role, {
    workers: [worker, ...left],
    leaving: [worker],
    backoffMs: 0,
    count: `it goes on with ${left.length} of ${replicas} nodes`,
    failure,
    kind: 'launch',
    by,
  })
  return true
}
