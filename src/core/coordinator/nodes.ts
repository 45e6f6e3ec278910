/** Nodes by name, and the forks that a node has to forget or to end. membership.ts judges which are there. */
import type { Ctx, NodeLive, Worker } from './types.ts'

function newNode(name: string, now: number): NodeLive {
  return {
    name,
    incarnation: null,
    link: 0,
    pid: 0,
    capacity: null,
    state: 'suspect',
    reason: 'not heard since this coordinator leads',
    evidence: false,
    leaving: false,
    drainingItself: false,
    storeRefused: false,
    rev: 0,
    ahead: new Set(),
    beatRev: 0,
    inventoried: false,
    inventory: null,
    inventoryAt: -Infinity,
    beatAt: now,
    loopLagMs: 0,
    offset: null,
    workers: new Set(),
    used: { cpus: 0, gpus: 0, memoryBytes: 0 },
    gpuPeers: new Map(),
    gpuUuids: new Set(),
    unowned: new Map(),
    release: new Set(),
    strays: new Set(),
    releaseOrder: null,
    strayOrder: null,
    retryAt: 0,
    tries: 0,
    avoidUntil: 0,
  }
}

export function nodeOf(ctx: Ctx, name: string): NodeLive {
  const known = ctx.s.nodes.get(name)
  if (known !== undefined) return known
  const node = newNode(name, ctx.now)
  ctx.s.nodes.set(name, node)
  ctx.s.heard.add(node)
  return node
}

/** Its agent may forget this fork; it must not run this one. */
export function toRelease(ctx: Ctx, node: NodeLive, forkId: string): void {
  node.release.add(forkId)
  ctx.s.nodeWork.add(node)
}

export function toStray(ctx: Ctx, node: NodeLive, forkId: string): void {
  node.strays.add(forkId)
  ctx.s.nodeWork.add(node)
}

export function nodeFor(ctx: Ctx, worker: Worker): NodeLive | undefined {
  return worker.record.node === null ? undefined : ctx.s.nodes.get(worker.record.node)
}

/** May orders be sent there now, and is it known what it has? */
export function isReachable(node: NodeLive | undefined): node is NodeLive & { incarnation: string } {
  return (
    node !== undefined &&
    node.incarnation !== null &&
    node.inventoried &&
    !node.evidence &&
    node.state !== 'lost'
  )
}
