/** Requests that end workers: stop and kill, of a run, a role or a worker, also by force. */
import { byUser } from '../../protocol/causes.ts'
import { isTerminal } from '../../protocol/shapes.ts'
import { GONE, lostExit } from './ends.ts'
import type { RequestOf } from './messages.ts'
import { isReachable } from './nodes.ts'
import { reply } from './reply.ts'
import { endWorker } from './reports.ts'
import { live } from './stages.ts'
import { cancelRun, endingOf } from './stop.ts'
import { ownTarget } from './targets.ts'
import type { Ctx, Worker } from './types.ts'
import { update } from './update.ts'
import { currentFork, exitOf } from './worker.ts'

/** torchrun's workers live and end together: its peers would wait for one that was stopped. */
function withPeers(workers: Worker[]): Worker[] {
  return workers.length === 1 && workers[0]!.role.spec.kind === 'torchrun'
    ? workers[0]!.role.workers
    : workers
}

export function stop(ctx: Ctx, request: RequestOf<'stop' | 'kill'>, kill: boolean): void {
  const { body, user } = request
  const { run, workers: aimedAt } = ownTarget(ctx, request)
  const workers = withPeers(aimedAt)
  const { record } = run
  const concerned = workers.filter(
    (worker) => live(worker) || (record.stopping === null && worker.record.phase === 'waiting'),
  )
  if (isTerminal(record.state)) return reply(ctx, request, { workers: [] })
  if (body.role === undefined) {
    if (record.stopping === null || record.stopping.why === 'restart') cancelRun(ctx, run, byUser(user), kill)
    else if (kill && !record.stopping.kill) {
      update(ctx, run, { record: { stopping: { ...record.stopping, kill: true } } })
    }
  } else if (record.stopping === null || kill) {
    for (const worker of workers) {
      if (live(worker)) endingOf(ctx, worker, byUser(user), kill ? 0 : null)
      else if (worker.record.phase === 'waiting' && record.stopping === null) {
        update(ctx, worker, { record: { ending: byUser(user), last: null } })
        endWorker(ctx, worker, null, { ...GONE, reason: 'it was never started' })
      }
    }
  }
  if (body.force === true) for (const worker of workers) forceEnd(ctx, worker, user)
  update(ctx, run, {})
  reply(ctx, request, { workers: concerned.map((worker) => worker.id) })
}

/**
 * Its node cannot be asked: it counts as ended without proof, and is ended for good when its node is heard
 * again.
 */
function forceEnd(ctx: Ctx, worker: Worker, user: string): void {
  if (!live(worker) || isReachable(ctx.s.nodes.get(worker.record.node!))) return
  const forkId = currentFork(worker)
  ctx.s.fenced.set(forkId, worker.record.node!)
  ctx.ops.push({ op: 'fenced', forkId, node: worker.record.node! })
  update(ctx, worker, { record: { ending: worker.record.ending ?? byUser(user) } })
  endWorker(
    ctx,
    worker,
    exitOf(worker) ?? {
      ...lostExit(`node ${worker.record.node} is silent; ended by force`),
      killedBy: byUser(user),
    },
    {
      outcome: 'unverified',
      survivors: [],
      reason: `node ${worker.record.node} could not be asked`,
      ms: 0,
    },
  )
}
