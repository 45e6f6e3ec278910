/** The run, the workers or the node that a request is about, or the fault that says why there is none. */
import { Fault } from '../../protocol/faults.ts'
import { nearest, parseForkId } from '../../protocol/names.ts'
import { isKnown } from './lists.ts'
import type { RequestOf } from './messages.ts'
import type { Ctx, NodeLive, Run, Worker } from './types.ts'

export function theNode(ctx: Ctx, name: string): NodeLive {
  const node = ctx.s.nodes.get(name)
  if (node !== undefined && isKnown(node)) return node
  const near = nearest(name, ctx.s.nodes.keys())
  throw new Fault('NODE_NOT_FOUND', `no node '${name}'${near === null ? '' : `; did you mean ${near}?`}`)
}

export function noRun(ctx: Ctx, run: string): Fault {
  // the state was lost, and its workers run on
  const nodes = [...ctx.s.nodes.values()]
    .filter((node) => [...node.unowned.keys()].some((forkId) => parseForkId(forkId)?.run === run))
    .map((node) => node.name)
  if (nodes.length > 0)
    return new Fault(
      'WORKER_NOT_FOUND',
      `no run '${run}' is in the state log, which was lost; workers of it run on, unowned, on ${nodes.join(', ')}`,
      {
        data: { run, nodes, reason: 'lost' },
        hint: 'which they are: troupe nodes; end them with the fleet: troupe down',
      },
    )
  const near = nearest(run, ctx.s.runs.keys())
  const lost = ctx.s.historyLost
  const hint = lost !== null ? `; history was lost: ${lost}` : near !== null ? `; did you mean ${near}?` : ''
  return new Fault('WORKER_NOT_FOUND', `no run '${run}'${hint}`, {
    data: { run, ...(lost !== null && { reason: 'lost' }) },
  })
}

/** For a worker, who hears nothing of the runs of others. */
export function noOwnRun(run: string): Fault {
  return new Fault('WORKER_NOT_FOUND', `no run '${run}' is known`, { data: { run } })
}

export function target(
  ctx: Ctx,
  { run: id, role: roleName, index }: { run: string; role?: string; index?: number },
): { run: Run; workers: Worker[] } {
  const run = ctx.s.runs.get(id)
  if (run === undefined) throw noRun(ctx, id)
  if (roleName === undefined) return { run, workers: run.workers }
  const role = run.byRole.get(roleName)
  if (role === undefined)
    throw new Fault(
      'WORKER_NOT_FOUND',
      `run ${id} has no role '${roleName}'; it has ${run.roles.map((one) => one.spec.name).join(', ')}`,
    )
  if (index === undefined) return { run, workers: role.workers }
  const worker = role.workers[index]
  if (worker === undefined)
    throw new Fault(
      'WORKER_NOT_FOUND',
      `role ${roleName} of ${id} has ${role.workers.length} workers, the last is ${roleName}/${role.workers.length - 1}; not ${roleName}/${index}`,
    )
  return { run, workers: [worker] }
}

/** The target of an order: one's own, or the fleet's owner asks. @throws {Fault} PERMISSION */
export function ownTarget(
  ctx: Ctx,
  { user, body }: RequestOf<'stop' | 'kill' | 'signal'>,
): { run: Run; workers: Worker[] } {
  const found = target(ctx, body)
  const { run, user: holder } = found.run.record
  if (holder !== user && user !== ctx.s.settings.owner)
    throw new Fault('PERMISSION', `run ${run} is ${holder}'s: ${user} can neither end nor signal it`, {
      data: { run, user: holder },
    })
  return found
}
