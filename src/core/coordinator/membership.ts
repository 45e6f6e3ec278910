/**
 * Which nodes are there. A beat keeps a node; silence makes it suspect, then lost; the server's word or an
 * order that nobody answered makes it suspect at once. Nobody is judged while our own link has not been up
 * for a full timeout, and when many fall silent at once it is the bus that is suspected.
 */
import type { ForkReport, NodeCapacity } from '../../protocol/shapes.ts'
import type { CoordinatorEvent } from './messages.ts'
import { nodeEvent, lostEvent } from './events.ts'
import { linkGpus } from './node-usage.ts'
import { applyReport } from './reports.ts'
import { change, nodeOf, toStray, workOn, type Ctx, type NodeLive } from './state.ts'

type Beat = Extract<CoordinatorEvent, { kind: 'beat' }>

/** A second copy of an agent that ought to be gone (it was frozen) must not take over from the newer one. */
function isTakenFrom(ctx: Ctx, node: NodeLive, incarnation: string): boolean {
  return (
    node.incarnation === null ||
    incarnation > node.incarnation ||
    node.evidence ||
    ctx.now - node.beatAt >= ctx.s.settings.suspectAfterMs
  )
}

function join(ctx: Ctx, node: NodeLive, incarnation: string): void {
  node.incarnation = incarnation
  node.inventoried = false
  node.inventory = null
  node.inventoryAt = -Infinity
  node.rev = 0
  node.ahead.clear()
  node.unowned.clear()
  node.offset = null
  node.releaseOrder = null
  node.strayOrder = null
  node.tries = 0
  node.retryAt = 0
  for (const worker of node.workers) {
    worker.token = null
    worker.order = null
    worker.retryAt = 0
    worker.tries = 0
  }
}

export function onBeat(ctx: Ctx, beat: Beat): void {
  const node = nodeOf(ctx, beat.node)
  if (node.incarnation !== beat.incarnation) {
    if (!isTakenFrom(ctx, node, beat.incarnation)) return
    join(ctx, node, beat.incarnation)
  }
  node.beatAt = ctx.now
  node.evidence = false
  node.loopLagMs = beat.loopLagMs
  node.storeRefused = beat.storeRefused
  if (node.drainingItself !== beat.draining) {
    node.drainingItself = beat.draining
    ctx.s.placeDue = true
  }
  node.beatRev = beat.rev
  if (beat.leaving) return leave(ctx, node)
  if (node.state !== 'ready') revive(ctx, node)
  if (node.release.size > 0 || node.strays.size > 0) ctx.s.nodeWork.add(node)
  if (!node.inventoried || beat.rev > node.rev) askInventory(ctx, node)
}

function leave(ctx: Ctx, node: NodeLive): void {
  if (node.leaving) return
  node.leaving = true
  node.evidence = true
  node.state = 'suspect'
  node.reason = 'its agent was told to end; its workers run on'
  nodeEvent(ctx, node, 'left', node.reason)
}

function revive(ctx: Ctx, node: NodeLive): void {
  node.state = 'ready'
  node.reason = null
  node.leaving = false
  ctx.s.placeDue = true
  for (const worker of node.workers) {
    worker.lostTold = false
    worker.retryAt = 0
    workOn(ctx, worker)
  }
}

/** Not more often than each 250 ms, and one at a time. */
const INVENTORY_EVERY_MS = 250

function askInventory(ctx: Ctx, node: NodeLive): void {
  if (node.inventory !== null || node.incarnation === null || ctx.now - node.inventoryAt < INVENTORY_EVERY_MS)
    return
  const id = ++ctx.s.counter
  node.inventory = { id, sentAt: ctx.now }
  node.inventoryAt = ctx.now
  ctx.s.orders.set(id, { verb: 'inventory', node, incarnation: node.incarnation, sentAt: ctx.now })
  ctx.out.push({
    kind: 'order',
    order: {
      id,
      node: node.name,
      incarnation: node.incarnation,
      verb: 'inventory',
      body: {},
      timeoutMs: 2000,
    },
  })
}

export interface Inventory {
  rev: number
  pid: number
  capacity: NodeCapacity
  forks: ForkReport[]
}

/** Everything that the spool knows: what is not in it was never prepared there, or its spool is lost. */
export function onInventory(ctx: Ctx, node: NodeLive, sentAt: number, inventory: Inventory): void {
  const first = !node.inventoried
  node.inventoried = true
  node.pid = inventory.pid
  node.capacity = inventory.capacity
  linkGpus(ctx, node, inventory.capacity.gpus)
  node.rev = Math.max(node.rev, inventory.rev)
  for (const rev of node.ahead) if (rev <= node.rev) node.ahead.delete(rev)
  const known = new Set<string>()
  node.unowned.clear()
  for (const report of inventory.forks) {
    known.add(report.forkId)
    applyReport(ctx, node, report, inventory.rev, true)
  }
  for (const worker of node.workers) {
    const { record } = worker
    workOn(ctx, worker)
    if (record.phase !== 'placed' || known.has(forkOf(worker))) continue
    // an order that left after the inventory was asked for may have changed what it says
    if (worker.order !== null || worker.orderedAt >= sentAt) continue
    if (record.startedAt !== null) worker.spoolLost = true
    else
      change(worker, () => {
        worker.report = null
        worker.token = null
        if (worker.gang !== null) worker.gang.unprepared.add(worker)
      })
  }
  // decided without its word while it was away: it hears of it now, known to its spool or not
  for (const [forkId, name] of ctx.s.fenced) if (name === node.name) toStray(ctx, node, forkId)
  if (first) {
    nodeEvent(ctx, node, 'joined', null)
    ctx.s.placeDue = true
  }
}

function forkOf(worker: import('./state.ts').Worker): string {
  return `${worker.run.record.run}.${worker.record.role}.${worker.record.index}.${worker.record.attempt}`
}

export function onReport(ctx: Ctx, event: Extract<CoordinatorEvent, { kind: 'report' }>): void {
  const node = ctx.s.nodes.get(event.node)
  // an incarnation that has not beaten yet will be asked for everything when it does
  if (node === undefined || node.incarnation !== event.incarnation) return
  if (event.rev === node.rev + 1) {
    node.rev = event.rev
    while (node.ahead.delete(node.rev + 1)) node.rev++
  } else if (event.rev > node.rev) node.ahead.add(event.rev)
  applyReport(ctx, node, event.report, event.rev)
}

/** The server says that the connection ended, or that nobody listens there any more. */
export function onEvidence(ctx: Ctx, node: NodeLive, incarnation: string, text: string): void {
  if (node.incarnation !== incarnation || node.evidence) return
  node.evidence = true
  if (node.state === 'ready') suspect(ctx, node, text)
}

function suspect(ctx: Ctx, node: NodeLive, text: string): void {
  node.state = 'suspect'
  node.reason = text
  nodeEvent(ctx, node, 'suspect', text)
  for (const worker of node.workers) workOn(ctx, worker)
}

/** Silence counts from the later of its last beat and the moment our own link came up. */
function silentMs(ctx: Ctx, node: NodeLive): number {
  return ctx.s.linkUpAt === null ? 0 : ctx.now - Math.max(node.beatAt, ctx.s.linkUpAt)
}

export function onNodesTick(ctx: Ctx): void {
  const { s } = ctx
  const { suspectAfterMs, lostAfterMs } = s.settings
  if (s.linkUpAt === null) return
  const watched = [...s.nodes.values()].filter((node) => node.state !== 'lost' && !node.leaving)
  const silent = watched.filter((node) => !node.evidence && silentMs(ctx, node) >= suspectAfterMs)
  const frozen = silent.length >= 2 && silent.length * 2 >= watched.length
  if (frozen !== s.frozen) {
    s.frozen = frozen
    ctx.out.push({
      kind: 'log',
      level: 'warn',
      fields: {
        msg: frozen
          ? 'many nodes fell silent at once: the bus is suspected, nobody is given up'
          : 'nodes are heard again',
        silent: silent.length,
        nodes: watched.length,
      },
    })
  }
  for (const node of s.nodes.values()) {
    const ms = silentMs(ctx, node)
    if (node.state === 'ready' && ms >= suspectAfterMs)
      suspect(
        ctx,
        node,
        `no heartbeat for ${(ms / 1000).toFixed(1)} s${frozen ? '; so are many others, so the bus is suspected' : ''}`,
      )
    else if (node.state === 'suspect' && ms >= lostAfterMs && (!frozen || node.evidence)) {
      node.state = 'lost'
      node.reason = `no heartbeat for ${Math.round(ms / 1000)} s`
      nodeEvent(ctx, node, 'lost', node.reason)
      for (const worker of node.workers) workOn(ctx, worker)
    }
    if (node.state === 'lost') {
      for (const worker of node.workers)
        if (worker.record.phase === 'placed' && !worker.lostTold) {
          worker.lostTold = true
          lostEvent(ctx, worker, node)
        }
      if (node.workers.size === 0 && node.leaving && node.unowned.size === 0) {
        linkGpus(ctx, node, null)
        s.nodes.delete(node.name)
      }
    }
    if (node.incarnation !== null && node.state === 'ready' && (!node.inventoried || node.beatRev > node.rev))
      askInventory(ctx, node)
  }
}

export function onLink(ctx: Ctx, up: boolean): void {
  ctx.s.linkUpAt = up ? ctx.now : null
}
