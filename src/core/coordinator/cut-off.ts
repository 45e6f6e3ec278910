/** Nodes that their peers cannot reach: over several machines one whose address is loopback. Pure. */
import { isLoopback } from '../../protocol/addresses.ts'
import { placesOf } from './node-usage.ts'
import type { Ctx, NodeLive, Worker } from './types.ts'

/** @returns null when its peers can reach it, as far as addresses tell */
export function cutOffText(ctx: Ctx, { capacity }: NodeLive): string | null {
  if (capacity === null || !isLoopback(capacity.host)) return null
  const places = placesOf(ctx)
  if (places.machines <= 1 && places.loopbacks === places.byName.size) return null
  return (
    `its address for peers is ${capacity.host}, which reaches it from its own machine alone ` +
    '(is its link to the bus a port-forward?): start its agent with --address'
  )
}

/** Of a worker that has peers on other nodes. */
export function cutOffWorker(ctx: Ctx, { record, run }: Worker, node: NodeLive | undefined): string | null {
  const text = node === undefined ? null : cutOffText(ctx, node)
  if (text === null) return null
  const hasPeers = run.workers.some(({ record: { node: other } }) => other !== null && other !== record.node)
  return hasPeers ? `node ${record.node}: ${text}` : null
}
