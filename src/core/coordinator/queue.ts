/**
 * Runs that wait for a place, in order of acceptance. One that would fit if other work ended holds back those
 * behind it, so that it does not starve; one that waits for nodes to join does not.
 */
import { allResources, resourcesOf, type Role } from '../../protocol/resolved.ts'
import { placesOf, reserve } from './node-usage.ts'
import { asksNothing, place, weightOf, type Ask } from './placement.ts'
import { isLeftOut } from './outcome.ts'
import { type Ctx, type Run, type Worker } from './state.ts'

function size({ role, record }: Worker): number {
  const { gpus, cpus } = resourcesOf(role.spec, record.index)
  return gpus * 10_000 + cpus
}

function largest(role: Role): number {
  return allResources(role).reduce((most, { gpus, cpus }) => Math.max(most, gpus * 10_000 + cpus), 0)
}

/** Largest first; within a role by index, so that an elastic one leaves out its last. */
function homeless(run: Run): Worker[] {
  const workers = run.workers.filter(
    (worker) => worker.record.phase === 'waiting' && worker.record.node === null && !isLeftOut(worker),
  )
  const biggest = new Map(run.roles.map((role) => [role, largest(role.spec)]))
  return workers.toSorted(
    (a, b) =>
      biggest.get(b.role)! - biggest.get(a.role)! ||
      (a.role === b.role && a.role.spec.kind !== 'torchrun' ? size(b) - size(a) : 0),
  )
}

function asksOf(workers: readonly Worker[]): Ask[] {
  return workers.map((worker) => ({ role: worker.role.spec, index: worker.record.index }))
}

function takenBy(run: Run): Map<string, Set<string>> {
  const taken = new Map<string, Set<string>>()
  for (const role of run.roles)
    if (role.spec.kind === 'torchrun')
      taken.set(
        role.spec.name,
        new Set(
          role.workers
            .filter((w) => w.record.phase !== 'ended' && w.record.node !== null)
            .map((w) => w.record.node!),
        ),
      )
  return taken
}

export function placeQueue(ctx: Ctx): void {
  const { s } = ctx
  s.placeDue = false
  if (s.queue.size === 0) return
  const places = placesOf(ctx)
  const byName = new Map(places.map((one) => [one.name, one]))
  let held = false
  for (const run of [...s.queue].toSorted((a, b) => a.record.acceptedAt - b.record.acceptedAt)) {
    const workers = homeless(run)
    if (workers.length === 0 || run.record.stopping !== null) {
      s.queue.delete(run)
      continue
    }
    const asks = asksOf(workers)
    if (held && !asks.every((ask) => asksNothing(resourcesOf(ask.role, ask.index)))) {
      tellWait(ctx, run, 'waiting for its turn: an earlier run waits for resources')
      continue
    }
    const answer = place(asks, places, takenBy(run))
    if ('reason' in answer) {
      held ||= answer.holds
      tellWait(ctx, run, answer.reason)
      continue
    }
    const left = new Set(answer.left)
    const placed = workers.filter((_, i) => !left.has(asks[i]!))
    placed.forEach((worker, i) => {
      const name = answer.places[i]!
      reserve(ctx, worker, name)
      const spot = byName.get(name)!
      const weight = weightOf(resourcesOf(worker.role.spec, worker.record.index))
      spot.used.cpus += weight.cpus
      spot.used.gpus += weight.gpus
      spot.used.memoryBytes += weight.memoryBytes
      spot.workers++
    })
    s.queue.delete(run)
    run.placeReason = null
    s.dirty.add(run)
  }
}

function tellWait(ctx: Ctx, run: Run, reason: string): void {
  if (run.placeReason === reason) return
  run.placeReason = reason
  ctx.s.dirty.add(run)
}
