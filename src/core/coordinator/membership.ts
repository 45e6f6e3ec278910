/**
 * Which nodes are there. A beat keeps a node; silence makes it suspect, then lost; the server's word or an
 * order that nobody answered makes it suspect at once. Nobody is judged while our own link has not been up
 * for a full timeout, and when many fall silent at once it is the bus that is suspected.
 */
import type { ReplyOf } from '../../protocol/table.ts'
import { lostEvent, nodeEvent } from './events.ts'
import { checkFences } from './fence.ts'
import type { CoordinatorEvent } from './messages.ts'
import { linkGpus, noteStore, noteUsage } from './node-usage.ts'
import { nodeOf, toStray } from './nodes.ts'
import { applyReport } from './reports.ts'
import type { Ctx, InventoryAsked, NodeLive } from './types.ts'
import { update } from './update.ts'
import { currentFork, startedAtOf } from './worker.ts'

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
  node.link = 0
  noteUsage(ctx, node)
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
    update(ctx, worker, { token: null, order: null, retryAt: 0, tries: 0 })
  }
}

export function onBeat(ctx: Ctx, beat: Beat): void {
  const node = nodeOf(ctx, beat.node)
  if (node.incarnation !== beat.incarnation) {
    if (!isTakenFrom(ctx, node, beat.incarnation)) return
    join(ctx, node, beat.incarnation)
  }
  node.beatAt = ctx.now
  // nodes are in order of their last beat
  if (ctx.s.heard.delete(node)) ctx.s.heard.add(node)
  node.evidence = false
  node.link = Math.max(node.link, beat.link ?? 0)
  node.loopLagMs = beat.loopLagMs
  noteStore(ctx, node, beat.storeRefused)
  if (node.drainingItself !== beat.draining) noteUsage(ctx, node)
  node.drainingItself = beat.draining
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
  toAway(ctx, node)
  nodeEvent(ctx, node, 'left', node.reason)
}

/** The node is lost or has left: its silence is nothing new. */
function toAway(ctx: Ctx, node: NodeLive): void {
  noteUsage(ctx, node)
  ctx.s.heard.delete(node)
  ctx.s.away.add(node)
}

function revive(ctx: Ctx, node: NodeLive): void {
  ctx.s.away.delete(node)
  ctx.s.heard.add(node)
  node.state = 'ready'
  node.reason = null
  node.leaving = false
  noteUsage(ctx, node)
  for (const worker of node.workers) {
    update(ctx, worker, { lostTold: false, retryAt: 0 })
  }
}

/** Not more often than each 250 ms, and one at a time. */
const INVENTORY_EVERY_MS = 250

function askInventory(ctx: Ctx, node: NodeLive): void {
  if (node.inventory !== null || node.incarnation === null || ctx.now - node.inventoryAt < INVENTORY_EVERY_MS)
    return
  node.inventoryAt = ctx.now
  askPage(ctx, node, {
    sentAt: ctx.now,
    rev: null,
    known: new Set(),
    unowned: new Set(node.unowned.keys()),
  })
}

function askPage(ctx: Ctx, node: NodeLive, asked: Omit<InventoryAsked, 'id'>, from?: string): void {
  const id = ++ctx.s.counter
  node.inventory = { ...asked, id }
  ctx.s.orders.set(id, { verb: 'inventory', node, incarnation: node.incarnation! })
  ctx.out.push({
    kind: 'order',
    order: {
      id,
      node: node.name,
      incarnation: node.incarnation!,
      verb: 'inventory',
      body: from === undefined ? {} : { from },
      timeoutMs: 2000,
    },
  })
}

/**
 * One page of the forks that the spool knows. A fork that is on none of the pages was never prepared there,
 * or its spool is lost. Facts that come between two pages are newer than the first page says, whose `rev`
 * counts.
 */
export function onInventory(
  ctx: Ctx,
  node: NodeLive,
  asked: InventoryAsked,
  page: ReplyOf<'node.inventory'>,
): void {
  asked.rev ??= page.rev
  for (const report of page.forks) {
    asked.known.add(report.forkId)
    applyReport(ctx, node, report, page.rev, true)
  }
  if (page.next !== null) return askPage(ctx, node, asked, page.next)
  const first = !node.inventoried
  node.inventoried = true
  node.pid = page.pid
  if (JSON.stringify(node.capacity) !== JSON.stringify(page.capacity)) {
    node.capacity = page.capacity
    noteUsage(ctx, node)
  }
  linkGpus(ctx, node, page.capacity.gpus)
  node.rev = Math.max(node.rev, asked.rev)
  for (const rev of node.ahead) if (rev <= node.rev) node.ahead.delete(rev)
  for (const forkId of asked.unowned) if (!asked.known.has(forkId)) node.unowned.delete(forkId)
  for (const worker of node.workers) {
    const { record } = worker
    update(ctx, worker, {})
    if (record.phase !== 'placed' || asked.known.has(currentFork(worker))) continue
    // an order that left after the inventory was asked for may have changed what it says
    if (worker.order !== null || worker.orderedAt >= asked.sentAt) continue
    if (startedAtOf(worker) !== null) update(ctx, worker, { spoolLost: true })
    else {
      worker.gang?.unprepared.add(worker)
      update(ctx, worker, { report: null, token: null })
    }
  }
  // decided without its word while it was away: it hears of it now, known to its spool or not
  for (const [forkId, name] of ctx.s.fenced) if (name === node.name) toStray(ctx, node, forkId)
  if (first) nodeEvent(ctx, node, 'joined', null)
  noteUsage(ctx, node)
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
  noteUsage(ctx, node)
  nodeEvent(ctx, node, 'suspect', text)
  for (const worker of node.workers) update(ctx, worker, {})
}

/** Silence counts from the later of its last beat and the moment our own link came up. */
function silentMs(ctx: Ctx, node: NodeLive): number {
  return ctx.s.linkUpAt === null ? 0 : ctx.now - Math.max(node.beatAt, ctx.s.linkUpAt)
}

/** Only nodes that have been silent for long are looked at: those that beat last come first. */
export function onNodesTick(ctx: Ctx): void {
  const { s } = ctx
  if (s.linkUpAt === null) return
  const silent: NodeLive[] = []
  for (const node of s.heard) {
    if (silentMs(ctx, node) < s.settings.suspectAfterMs) break
    silent.push(node)
  }
  checkFrozen(ctx, silent.filter((node) => !node.evidence).length)
  for (const node of silent) judgeSilence(ctx, node)
  for (const node of s.away) {
    if (node.state === 'suspect') judgeSilence(ctx, node)
    if (node.state === 'lost') checkFences(ctx, node)
  }
  forgetNodes(ctx)
}

/** Half of the nodes fell silent at once: it is the bus. */
function checkFrozen(ctx: Ctx, silent: number): void {
  const { s } = ctx
  const nodes = s.heard.size
  const frozen = silent >= 2 && silent * 2 >= nodes
  if (frozen === s.frozen) return
  s.frozen = frozen
  const msg = frozen
    ? 'many nodes fell silent at once: the bus is suspected, nobody is given up'
    : 'nodes are heard again'
  ctx.out.push({ kind: 'log', level: 'warn', fields: { msg, silent, nodes } })
}

function judgeSilence(ctx: Ctx, node: NodeLive): void {
  const { frozen } = ctx.s
  const ms = silentMs(ctx, node)
  if (node.state === 'ready') {
    const others = frozen ? '; so are many others, so the bus is suspected' : ''
    return suspect(ctx, node, `no heartbeat for ${(ms / 1000).toFixed(1)} s${others}`)
  }
  if (ms < ctx.s.settings.lostAfterMs || (frozen && !node.evidence)) return
  node.state = 'lost'
  node.reason = `no heartbeat for ${Math.round(ms / 1000)} s`
  toAway(ctx, node)
  nodeEvent(ctx, node, 'lost', node.reason)
  for (const worker of node.workers) {
    update(ctx, worker, {})
    if (worker.record.phase !== 'placed' || worker.lostTold) continue
    worker.lostTold = true
    lostEvent(ctx, worker, node)
  }
}

/**
 * A lost node without workers leaves memory: at once when it had left or was never heard, else after a time,
 * and the oldest earlier when there are too many. When it is heard again it joins as a new one.
 */
function forgetNodes(ctx: Ctx): void {
  const { s } = ctx
  const { lostKeptMs, lostKept } = s.settings
  let kept = s.away.size
  for (const node of s.away) {
    const needed = node.workers.size > 0 || node.unowned.size > 0
    if (node.state !== 'lost' || needed) continue
    const gone = node.leaving || node.incarnation === null
    if (!gone && kept <= lostKept && silentMs(ctx, node) < lostKeptMs) continue
    kept--
    linkGpus(ctx, node, null)
    noteUsage(ctx, node)
    s.away.delete(node)
    s.nodeWork.delete(node)
    s.refusing.delete(node)
    s.nodes.delete(node.name)
  }
}

export function onLink(ctx: Ctx, up: boolean): void {
  ctx.s.linkUpAt = up ? ctx.now : null
}
