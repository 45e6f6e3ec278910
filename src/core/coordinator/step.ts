/**
 * The coordinator's step: one event in, commands out. Total over every event. What it decides leaves behind
 * one persist, so nothing that anybody sees rests on a fact that could be lost.
 */
import { isBy } from '../../protocol/causes.ts'
import { isTerminal } from '../../protocol/shapes.ts'
import { forgetKeys, onQueuedLaunch } from './accept.ts'
import { decide } from './decide.ts'
import { tellAccepted, tellState } from './events.ts'
import { type DurableRun, runOps } from './fold.ts'
import { recoverGang } from './gangs.ts'
import { onHistoryLost, onUnwritable } from './history.ts'
import { onBeat, onEvidence, onLink, onNodesTick, onReport } from './membership.ts'
import type { CoordinatorCommand, CoordinatorEvent } from './messages.ts'
import { contextOf } from './new-state.ts'
import { giveNodeOrders } from './node-orders.ts'
import { occupy } from './node-usage.ts'
import { nodeOf, toRelease } from './nodes.ts'
import { onOrderResult } from './order-results.ts'
import { onQueueTick, placeQueue, wakeQueue } from './queue.ts'
import { onRequest } from './requests.ts'
import { beginRestart } from './restart.ts'
import { statusOf } from './status.ts'
import { goOn } from './timers.ts'
import type { CoordinatorState, Ctx, Run } from './types.ts'
import { update } from './update.ts'
import { currentFork, exitOf } from './worker.ts'

export function stepCoordinator(
  s: CoordinatorState,
  event: CoordinatorEvent,
): readonly [CoordinatorState, readonly CoordinatorCommand[]] {
  const ctx = contextOf(s, event)
  hear(ctx, event)
  settle(ctx)
  const ops = [...ctx.ops, ...ctx.lateOps]
  return [s, ops.length > 0 ? [{ kind: 'persist', ops }, ...ctx.out] : ctx.out]
}

function hear(ctx: Ctx, event: CoordinatorEvent): void {
  const { s } = ctx
  switch (event.kind) {
    case 'led':
      return onLed(ctx)
    case 'request':
      return onRequest(ctx, event)
    case 'queued-launch':
      return onQueuedLaunch(ctx, event)
    case 'beat':
      return onBeat(ctx, event)
    case 'report':
      return onReport(ctx, event)
    case 'order-result':
      return onOrderResult(ctx, event)
    case 'node-disconnected': {
      const node = s.nodes.get(event.node)
      // an agent comes with a new credential before it leaves the old one
      return node === undefined || event.link < node.link
        ? undefined
        : onEvidence(ctx, node, event.incarnation, 'the server says that its connection ended')
    }
    case 'link':
      return onLink(ctx, event.up)
    case 'nodes-tick':
      return onTick(ctx)
    case 'archived': {
      const run = s.runs.get(event.run)
      if (run === undefined || !isTerminal(run.record.state)) return
      s.runs.delete(event.run)
      ctx.ops.push({ op: 'drop-run', run: event.run })
      return
    }
    case 'unwritable':
      return onUnwritable(ctx, event.run, event.fault)
    case 'history-lost':
      return onHistoryLost(ctx, event.text)
    case 'timer':
      return onTimer(ctx, event)
    default:
      return event satisfies never
  }
}

function onTimer(ctx: Ctx, { timer }: Extract<CoordinatorEvent, { kind: 'timer' }>): void {
  const { s } = ctx
  switch (timer.of) {
    case 'run': {
      const run = s.runs.get(timer.run)
      if (run === undefined) return
      run.wakeAt = Infinity
      return update(ctx, run, {})
    }
    case 'rest':
      s.goingOn = false
      for (const run of s.rest) update(ctx, run, {})
      s.rest.clear()
      s.placeDue ||= s.queue.next() !== null
      return
    case 'lazy':
      s.lazyTimer = false
      for (const run of s.lazy) update(ctx, run, { record: {} })
      return
    case 'node': {
      const node = s.nodes.get(timer.node)
      if (node !== undefined) s.nodeWork.add(node)
      return
    }
    default:
      return timer satisfies never
  }
}

/**
 * A new leader: what is recorded stands; about forks nothing is decided before their nodes have told
 * everything.
 */
function onLed(ctx: Ctx): void {
  const { s } = ctx
  s.ledAt = ctx.now
  s.linkUpAt = ctx.now
  s.lastLiveAt = ctx.now
  for (const run of s.runs.values()) {
    // told again under the same ids, in case the one who decided it died before it told
    if (ctx.wall - run.record.acceptedAt < RETELL_ACCEPTED_MS) tellAccepted(ctx, run)
    if (isTerminal(run.record.state)) {
      s.ended.push(run)
      if (ctx.wall - (run.record.endedAt ?? 0) < RETELL_MS) tellState(ctx, run)
      else run.toldState = run.record.state
      continue
    }
    // an entry that has the stop has what followed from the exits before it
    const judged = run.record.stopping !== null
    for (const worker of run.workers) {
      const { record } = worker
      if (record.phase !== 'ended' && record.node !== null) occupy(ctx, nodeOf(ctx, record.node), worker)
      if (!judged && record.phase === 'ended' && exitOf(worker) !== null) run.exits.add(worker)
      update(ctx, worker, {})
    }
    if (run.record.stopping === null) for (const role of run.roles) recoverRole(ctx, role)
    update(ctx, run, {})
  }
  s.ended.sort((a, b) => (a.record.endedAt ?? 0) - (b.record.endedAt ?? 0))
}

const RETELL_MS = 60_000
const RETELL_ACCEPTED_MS = 600_000

/**
 * Workers that were told to end for their peers' sake, in a run that goes on: they are to be started again.
 */
function recoverRole(ctx: Ctx, role: Run['roles'][number]): void {
  const replaced = role.workers.filter(
    ({ record }) =>
      record.phase !== 'waiting' && (isBy(record.ending, 'attempt') || isBy(record.ending, 'peer')),
  )
  if (replaced.length > 0) {
    const kind = replaced.some(({ record }) => isBy(record.ending, 'attempt')) ? 'launch' : 'restart'
    beginRestart(ctx, role, {
      workers: replaced,
      backoffMs: ctx.s.settings.launchRetryMs[0],
      count: null,
      failure: 'as an earlier coordinator decided',
      kind,
      by: replaced[0]!.record.ending!,
    })
  }
  recoverGang(role)
}

const KEYS_EVERY_MS = 60_000

function onTick(ctx: Ctx): void {
  const { s } = ctx
  onNodesTick(ctx)
  onQueueTick(ctx)
  if (Math.floor(ctx.now / KEYS_EVERY_MS) !== Math.floor((ctx.now - s.settings.nodesTickMs) / KEYS_EVERY_MS))
    forgetKeys(ctx)
  if (s.runs.size > s.ended.length) s.lastLiveAt = ctx.now
  if (s.settings.idleEndMs !== null && !s.ending && ctx.now - s.lastLiveAt >= s.settings.idleEndMs) {
    s.ending = true
    ctx.out.push({ kind: 'end', why: `no run for ${Math.round(s.settings.idleEndMs / 1000)} s` })
  }
}

/**
 * Until nothing is left to look at: runs, places, runs that got one; or until this step has handled as many
 * workers as one may. What is urgent is recorded all the same.
 */
function settle(ctx: Ctx): void {
  const { s } = ctx
  const touched = new Set<Run>()
  wakeQueue(ctx)
  for (let round = 0; (s.dirty.size > 0 || s.placeDue) && ctx.left > 0; round++) {
    if (round > 1000)
      throw new Error(
        `decisions do not settle: ${[...s.dirty]
          .map((run) => run.record.run)
          .slice(0, 3)
          .join(', ')}`,
      )
    // a copy: what makes itself due again belongs to the next round
    for (const run of [...s.dirty]) {
      if (ctx.left <= 0) break
      s.dirty.delete(run)
      // what was told of its workers is recorded with it
      ctx.left -= 1 + (run.entry === 'now' ? run.unwritten.size : 0)
      decide(ctx, run)
      countLive(ctx, run)
      touched.add(run)
    }
    wakeQueue(ctx)
    if (s.placeDue) placeQueue(ctx)
  }
  if (s.dirty.size > 0 || s.placeDue) goOn(ctx)
  for (const run of s.dirty) if (run.entry === 'now') touched.add(run)
  for (const run of touched) record(ctx, run)
  for (const node of s.nodeWork) {
    if (ctx.orders-- <= 0) {
      goOn(ctx)
      break
    }
    s.nodeWork.delete(node)
    giveNodeOrders(ctx, node)
  }
  archiveOld(ctx)
}

/** The fleet's count follows each run that was looked at: nobody passes over all runs for it. */
function countLive({ s }: Ctx, run: Run): void {
  const live = isTerminal(run.record.state)
    ? 0
    : run.roles.reduce((sum, { workers, counts }) => sum + workers.length - counts.ended, 0)
  s.liveWorkers += live - run.liveWorkers
  run.liveWorkers = live
}

/** Put what changed of a run into this step's entry; facts that decide nothing wait for one to share. */
function record(ctx: Ctx, run: Run): void {
  const { s } = ctx
  if (run.entry === null) return
  if (run.entry === 'soon' && run.unwritten.size < s.settings.stepWorkersMax) {
    s.lazy.add(run)
    if (s.lazyTimer) return
    s.lazyTimer = true
    ctx.out.push({ kind: 'timer', at: ctx.now + s.settings.lazyPersistMs, timer: { of: 'lazy' } })
    return
  }
  const changed = [...run.unwritten]
  ctx.ops.push(
    ...runOps(
      structuredClone(run.record) as DurableRun['head'],
      changed.map((worker) => ({ ...worker.record })),
    ),
  )
  for (const worker of changed) {
    if (worker.past !== null) toRelease(ctx, nodeOf(ctx, worker.past.node), worker.past.forkId)
    worker.past = null
    if (worker.record.phase !== 'ended' || worker.releasable) continue
    worker.releasable = true
    // it leaves behind the persist of this step
    if (worker.record.node !== null && worker.report !== null)
      toRelease(ctx, nodeOf(ctx, worker.record.node), currentFork(worker))
  }
  run.unwritten.clear()
  run.entry = null
  s.lazy.delete(run)
}

/** Ended runs beyond the bound go to the archive, and are dropped when they are there. */
function archiveOld(ctx: Ctx): void {
  const { s } = ctx
  while (s.ended.length > s.settings.endedKept) {
    if (ctx.left <= 0) return goOn(ctx)
    const run = s.ended.shift()!
    if (run.archiving) continue
    ctx.left -= run.workers.length
    run.archiving = true
    ctx.out.push({ kind: 'archive', status: statusOf(ctx, run) })
  }
}
