/**
 * What is taken on each node: by workers placed there until their tree is proven gone, and by places reserved
 * for workers that wait for a dependency or a restart.
 */
import { resourcesOf } from '../../protocol/launch/resolved.ts'
import type { Gpu } from '../../protocol/shapes.ts'
import { nodeOf } from './nodes.ts'
import { freeIn, KINDS, weightOf } from './placement.ts'
import type { NamedNode } from './node-words.ts'
import type { Place, Places } from './places.ts'
import type { Ctx, NodeLive, Worker } from './types.ts'
import { update } from './update.ts'

/** What is taken on a node, or whether it is open, has changed. */
export function noteUsage(ctx: Ctx, node: NodeLive): void {
  ctx.s.stalePlaces.add(node)
  for (const peer of node.gpuPeers.keys()) ctx.s.stalePlaces.add(peer)
}

/** The node refuses this state store, or takes it. */
export function noteStore(ctx: Ctx, node: NodeLive, refused: boolean): void {
  if (node.storeRefused === refused) return
  node.storeRefused = refused
  if (refused) ctx.s.refusing.add(node)
  else ctx.s.refusing.delete(node)
  noteUsage(ctx, node)
}

export function occupy(ctx: Ctx, node: NodeLive, worker: Worker): void {
  if (node.workers.has(worker)) return
  node.workers.add(worker)
  count(ctx, node, worker, 1)
}

export function vacate(ctx: Ctx, node: NodeLive | undefined, worker: Worker): void {
  if (node?.workers.delete(worker) === true) count(ctx, node, worker, -1)
}

function count(ctx: Ctx, node: NodeLive, worker: Worker, sign: 1 | -1): void {
  const weight = weightOf(resourcesOf(worker.role.spec, worker.record.index))
  for (const kind of KINDS) node.used[kind] += sign * weight[kind]
  noteUsage(ctx, node)
}

/**
 * GPUs of a node that are taken, by its own workers and by those of nodes that give out the same ones. Of a
 * part in common all may be taken.
 */
export function gpusTaken(node: NodeLive): number {
  let taken = ownGpus(node)
  for (const [peer, common] of node.gpuPeers) taken += Math.min(ownGpus(peer), common)
  return taken
}
function ownGpus(node: NodeLive): number {
  let gpus = node.used.gpus
  for (const fork of node.unowned.values()) gpus += fork.gpus
  return gpus
}

/**
 * The inventory of a node says which GPUs it has, or the node is gone (null): find the nodes that name the
 * same devices. Only the owners of these devices are looked at, and nobody when the devices are those of
 * before.
 */
export function linkGpus(ctx: Ctx, node: NodeLive, gpus: readonly Gpu[] | null): void {
  const { gpuOwners } = ctx.s
  const uuids = new Set((gpus ?? []).flatMap(({ uuid }) => uuid ?? []))
  if (uuids.size === node.gpuUuids.size && [...uuids].every((uuid) => node.gpuUuids.has(uuid))) return
  noteUsage(ctx, node)
  for (const peer of node.gpuPeers.keys()) peer.gpuPeers.delete(node)
  node.gpuPeers.clear()
  for (const uuid of node.gpuUuids) {
    const owners = gpuOwners.get(uuid)
    if (owners?.delete(node) === true && owners.size === 0) gpuOwners.delete(uuid)
  }
  node.gpuUuids = uuids
  for (const uuid of uuids) {
    const owners = gpuOwners.get(uuid) ?? new Set()
    for (const peer of owners) {
      const common = (node.gpuPeers.get(peer) ?? 0) + 1
      node.gpuPeers.set(peer, common)
      peer.gpuPeers.set(node, common)
    }
    gpuOwners.set(uuid, owners.add(node))
  }
  noteUsage(ctx, node)
}

/** Keep a place for a worker that waits. */
export function reserve(ctx: Ctx, worker: Worker, name: string): void {
  update(ctx, worker, { record: { node: name } }, 'along')
  occupy(ctx, nodeOf(ctx, name), worker)
}

/** Give up the place of a worker that waits. */
export function unreserve(ctx: Ctx, worker: Worker): void {
  if (worker.record.node === null) return
  vacate(ctx, ctx.s.nodes.get(worker.record.node), worker)
  update(ctx, worker, { record: { node: null } }, 'along')
}

/** Others first until then: something could not be started here. */
export function avoid(ctx: Ctx, node: NodeLive, until: number): void {
  node.avoidUntil = until
  ctx.s.avoided.add(node)
  ctx.s.stalePlaces.add(node)
}

/** May something new be placed here? */
export function isOpen(ctx: Ctx, node: NodeLive): boolean {
  return (
    node.state === 'ready' &&
    node.inventoried &&
    node.capacity !== null &&
    !node.leaving &&
    !node.drainingItself &&
    !node.storeRefused &&
    !ctx.s.drains.has(node.name)
  )
}

/** The nodes as places, as they are now. */
export function placesOf(ctx: Ctx): Places {
  for (const _ of refreshPlaces(ctx));
  return ctx.s.places
}

/** A place that may take more than before, or (not roomier) one that is closed or gone now. */
export interface Change extends NamedNode {
  place: Place | null
  roomier: boolean
}

/** Make anew the places of nodes that have changed. */
export function refreshPlaces(ctx: Ctx): Change[] {
  const { places, stalePlaces, avoided } = ctx.s
  for (const node of avoided) {
    if (node.avoidUntil > ctx.now) continue
    avoided.delete(node)
    stalePlaces.add(node)
  }
  const changes: Change[] = []
  for (const node of stalePlaces) {
    const { name } = node
    const before = places.byName.get(name) ?? null
    const place = ctx.s.nodes.get(name) === node ? placeOf(ctx, node) : null
    places.set(name, place)
    const roomier = isRoomier(place, before)
    if (roomier || before?.open !== place?.open)
      changes.push({ name, host: (place ?? before)?.host ?? '', place, roomier })
  }
  stalePlaces.clear()
  return changes
}

function isRoomier(now: Place | null, before: Place | null): boolean {
  if (now?.open !== true) return false
  if (before?.open !== true || now.interfaces !== before.interfaces) return true
  const [free, freeBefore] = [freeIn(now), freeIn(before)]
  return KINDS.some((kind) => free[kind] > freeBefore[kind])
}

/** @returns null for a node that nothing is known of, or that is lost */
export function placeOf(ctx: Ctx, node: NodeLive): Place | null {
  if (node.capacity === null || node.state === 'lost') return null
  let { cpus } = node.used
  for (const fork of node.unowned.values()) cpus += fork.cpus
  return {
    name: node.name,
    host: node.capacity.hostname,
    address: node.capacity.host,
    interfaces: node.capacity.interfaces,
    cpus: node.capacity.cpus,
    gpus: node.capacity.gpus.length,
    memoryBytes: node.capacity.memoryBytes,
    used: { cpus, gpus: gpusTaken(node), memoryBytes: node.used.memoryBytes },
    workers: node.workers.size,
    open: isOpen(ctx, node),
    avoid: node.avoidUntil > ctx.now,
    ...(node.capacity.gpuTrouble !== undefined && { gpuTrouble: node.capacity.gpuTrouble }),
    ...(node.gpuPeers.size > 0 && {
      gpuPeers: new Map([...node.gpuPeers].map(([peer, common]) => [peer.name, common])),
    }),
  }
}
