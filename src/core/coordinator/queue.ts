/**
 * Runs that wait for a place, in order of acceptance. One that would fit if other work ended holds back those
 * behind it, so that it does not starve; one that waits for nodes to join does not. A run that found no place
 * is looked at again when a node that it may use has room for what was missing, at most once in a round.
 */
import { allResources, resourcesOf, type Role } from '../../protocol/launch/resolved.ts'
import { keysOfNode, keysOfWord } from './node-words.ts'
import { placesOf, refreshPlaces, reserve } from './node-usage.ts'
import { isLeftOut } from './outcome.ts'
import { type Ask, asksNothing, place, roomFor } from './placement.ts'
import type { Place } from './places.ts'
import { goOn } from './timers.ts'
import type { Ctx, Run, Worker } from './types.ts'
import { update } from './update.ts'
import type { Entry } from './wait-queue.ts'

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

/** What a run that waits asks for, and the nodes that its torchrun roles have already. */
export function homelessAsks(run: Run): { asks: Ask[]; taken: Map<string, Set<string>> } {
  return { asks: asksOf(homeless(run)), taken: takenBy(run) }
}

/** The run has workers without a place: it is looked at in this step. */
export function enterQueue(ctx: Ctx, run: Run): void {
  ctx.s.queue.enter(run, run.record.acceptedAt)
  ctx.s.placeDue = true
}

export function leaveQueue(ctx: Ctx, run: Run): void {
  if (ctx.s.queue.leave(run)) ctx.s.placeDue = true
}

/**
 * More runs than this that wait for any node are looked at with the tick, not at each node that joins.
 */
const ANYWHERE_MAX = 64

/** Nodes have changed: who waits for one of them is due, if that can help. */
export function wakeQueue(ctx: Ctx): void {
  const { queue } = ctx.s
  if (queue.size === 0) return
  for (const { place: now, roomier, ...node } of refreshPlaces(ctx)) {
    const entries = new Set(keysOfNode(node).flatMap((key) => [...(queue.waiting.get(key) ?? [])]))
    for (const entry of entries) consider(ctx, entry, roomier ? now : null)
    const anywhere = queue.waiting.get(null) ?? new Set()
    for (const entry of anywhere)
      if (anywhere.size > ANYWHERE_MAX) queue.late.add(entry)
      else consider(ctx, entry, roomier ? now : null)
  }
}

/** @param now  a place that has more room than before; null: one that was closed or is gone */
function consider(ctx: Ctx, entry: Entry<Run>, now: Place | null): void {
  const { queue } = ctx.s
  const { stuck } = entry
  queue.late.add(entry)
  if (now === null) return
  if (stuck !== null) {
    const room = roomFor(stuck, now)
    stuck.missing -= room
    if (room === 0 || stuck.missing > 0) return
  }
  queue.makeDue(entry)
  ctx.s.placeDue = true
}

/** With each tick: who was helped a little, or waits for another reason now. */
export function onQueueTick(ctx: Ctx): void {
  const { queue } = ctx.s
  for (const entry of queue.late) {
    queue.makeDue(entry)
    ctx.s.placeDue = true
  }
  queue.late.clear()
}

/** A look ends when so many places were looked at in it, and goes on in the next step. */
const STEP_PLACES_MAX = 100_000

export function placeQueue(ctx: Ctx): void {
  const { s } = ctx
  s.placeDue = false
  const places = placesOf(ctx)
  const most = places.looked + STEP_PLACES_MAX
  for (let entry = s.queue.next(); entry !== null; entry = s.queue.next()) {
    if (places.looked > most) return goOn(ctx)
    look(ctx, entry)
  }
}

function look(ctx: Ctx, entry: Entry<Run>): void {
  const { queue } = ctx.s
  const { run } = entry
  const workers = homeless(run)
  if (workers.length === 0 || run.record.stopping !== null) return void queue.leave(run)
  const asks = asksOf(workers)
  if (queue.isBehindHolder(entry) && !asks.every((ask) => asksNothing(resourcesOf(ask.role, ask.index)))) {
    queue.hold(entry)
    return tellWait(ctx, run, HELD)
  }
  const answer = place(asks, placesOf(ctx), takenBy(run))
  if ('reason' in answer) {
    tellWait(ctx, run, answer.reason)
    const { holder } = queue
    queue.wait(entry, { names: namesOf(asks), stuck: answer.stuck, holds: answer.holds })
    if (!answer.holds || holder === null || holder === entry) return
    queue.hold(holder)
    return tellWait(ctx, holder.run, HELD)
  }
  const left = new Set(answer.left)
  const placed = workers.filter((_, i) => !left.has(asks[i]!))
  placed.forEach((worker, i) => reserve(ctx, worker, answer.places[i]!))
  queue.leave(run)
  update(ctx, run, { placeReason: null })
}

const HELD = 'waiting for its turn: an earlier run waits for resources'

/** Keys of every node that one of them may be placed on; null: any. */
function namesOf(asks: readonly Ask[]): ReadonlySet<string> | null {
  const roles = new Set(asks.map(({ role }) => role))
  const names = new Set<string>()
  for (const { nodelist } of roles) {
    if (nodelist.length === 0) return null
    for (const key of nodelist.flatMap(keysOfWord)) names.add(key)
  }
  return names
}

function tellWait(ctx: Ctx, run: Run, reason: string): void {
  if (run.placeReason === reason) return
  update(ctx, run, { placeReason: reason })
}
