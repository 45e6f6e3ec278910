/**
 * What is taken on each node: by workers placed there until their tree is proven gone, and by places reserved for workers that wait
 * for a dependency or a restart.
 */
import { weightOf, type Place } from './placement.ts'
import { change, nodeOf, type Ctx, type NodeLive, type Worker } from './state.ts'

export const occupy = (node: NodeLive, worker: Worker): void => {
  if (node.workers.has(worker)) return
  node.workers.add(worker)
  const weight = weightOf(worker.role.spec.resources[worker.record.index]!)
  node.used.cpus += weight.cpus
  node.used.gpus += weight.gpus
  node.used.memoryBytes += weight.memoryBytes
}

export const vacate = (ctx: Ctx, node: NodeLive | undefined, worker: Worker): void => {
  if (node === undefined || !node.workers.delete(worker)) return
  const weight = weightOf(worker.role.spec.resources[worker.record.index]!)
  node.used.cpus -= weight.cpus
  node.used.gpus -= weight.gpus
  node.used.memoryBytes -= weight.memoryBytes
  if (ctx.s.queue.size > 0) ctx.s.placeDue = true
}

/** Keep a place for a worker that waits. */
export const reserve = (ctx: Ctx, worker: Worker, name: string): void => {
  change(worker, () => void (worker.record.node = name))
  occupy(nodeOf(ctx, name), worker)
}

/** Give up the place of a worker that waits. */
export const unreserve = (ctx: Ctx, worker: Worker): void => {
  if (worker.record.node === null) return
  vacate(ctx, ctx.s.nodes.get(worker.record.node), worker)
  worker.record.node = null
}

/** May something new be placed here? */
export const isOpen = (ctx: Ctx, node: NodeLive): boolean =>
  node.state === 'ready' && node.inventoried && node.capacity !== null && !node.leaving && !node.drainingItself && !node.storeRefused && !ctx.s.drains.has(node.name)

export const placesOf = (ctx: Ctx): Place[] => {
  const places: Place[] = []
  for (const node of ctx.s.nodes.values()) {
    if (node.capacity === null || node.state === 'lost') continue
    let { cpus, gpus } = node.used
    for (const fork of node.unowned.values()) {
      cpus += fork.cpus
      gpus += fork.gpus
    }
    places.push({
      name: node.name, cpus: node.capacity.cpus, gpus: node.capacity.gpus.length, memoryBytes: node.capacity.memoryBytes,
      used: { cpus, gpus, memoryBytes: node.used.memoryBytes }, workers: node.workers.size, open: isOpen(ctx, node), avoid: node.avoidUntil > ctx.now,
    })
  }
  return places
}
