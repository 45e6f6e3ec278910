/**
 * What is taken on each node: by workers placed there until their tree is proven gone, and by places reserved
 * for workers that wait for a dependency or a restart.
 */
import { resourcesOf } from '../../protocol/resolved.ts'
import type { Gpu } from '../../protocol/shapes.ts'
import { weightOf, type Place } from './placement.ts'
import { change, nodeOf, type Ctx, type NodeLive, type Worker } from './state.ts'

export function occupy(node: NodeLive, worker: Worker): void {
  if (node.workers.has(worker)) return
  node.workers.add(worker)
  const weight = weightOf(resourcesOf(worker.role.spec, worker.record.index))
  node.used.cpus += weight.cpus
  node.used.gpus += weight.gpus
  node.used.memoryBytes += weight.memoryBytes
}

export function vacate(ctx: Ctx, node: NodeLive | undefined, worker: Worker): void {
  if (node === undefined || !node.workers.delete(worker)) return
  const weight = weightOf(resourcesOf(worker.role.spec, worker.record.index))
  node.used.cpus -= weight.cpus
  node.used.gpus -= weight.gpus
  node.used.memoryBytes -= weight.memoryBytes
  if (ctx.s.queue.size > 0) ctx.s.placeDue = true
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
 * The inventory of a node says which GPUs it has, or the node is gone (null): find the nodes that name the same
 * devices. Only the owners of these devices are looked at, and nobody when the devices are those of before.
 */
export function linkGpus(ctx: Ctx, node: NodeLive, gpus: readonly Gpu[] | null): void {
  const { gpuOwners } = ctx.s
  const uuids = new Set((gpus ?? []).flatMap(({ uuid }) => uuid ?? []))
  if (uuids.size === node.gpuUuids.size && [...uuids].every((uuid) => node.gpuUuids.has(uuid))) return
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
}

/** Keep a place for a worker that waits. */
export function reserve(ctx: Ctx, worker: Worker, name: string): void {
  change(worker, () => void (worker.record.node = name))
  occupy(nodeOf(ctx, name), worker)
}

/** Give up the place of a worker that waits. */
export function unreserve(ctx: Ctx, worker: Worker): void {
  if (worker.record.node === null) return
  vacate(ctx, ctx.s.nodes.get(worker.record.node), worker)
  worker.record.node = null
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

export function placesOf(ctx: Ctx): Place[] {
  const places: Place[] = []
  for (const node of ctx.s.nodes.values()) {
    if (node.capacity === null || node.state === 'lost') continue
    let { cpus } = node.used
    for (const fork of node.unowned.values()) cpus += fork.cpus
    places.push({
      name: node.name,
      cpus: node.capacity.cpus,
      gpus: node.capacity.gpus.length,
      memoryBytes: node.capacity.memoryBytes,
      used: { cpus, gpus: gpusTaken(node), memoryBytes: node.used.memoryBytes },
      workers: node.workers.size,
      open: isOpen(ctx, node),
      avoid: node.avoidUntil > ctx.now,
      ...(node.gpuPeers.size > 0 && {
        gpuPeers: new Map([...node.gpuPeers].map(([peer, common]) => [peer.name, common])),
      }),
    })
  }
  return places
}
