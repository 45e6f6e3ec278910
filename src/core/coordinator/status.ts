/**
 * What people and programs are shown: the status of a run, the list, the nodes. Reading never writes.
 */
import { forkIdOf, parseWorkerId, workerIdOf } from '../../protocol/names.ts'
import { fillPage, noCursor, type PageQuery } from '../../protocol/pages.ts'
import type { NodeInfo } from '../../protocol/node-info.ts'
import {
  isTerminal,
  type RunStatus,
  type Straggler,
  type WorkerState,
  type WorkerStatus,
} from '../../protocol/shapes.ts'
import { type RunSummary } from '../../protocol/run-summary.ts'
import type { ReplyOf } from '../../protocol/table.ts'
import { attemptsOf, lastRun } from './attempts.ts'
import { cutOffText } from './cut-off.ts'
import { attemptOf } from './events.ts'
import { reasonOf, rememberWaits, type Waits, workerReason } from './explain.ts'
import { helpOf } from './help.ts'
import { isOpen } from './node-usage.ts'
import { isDone } from './outcome.ts'
import { clocksAt } from './run-state.ts'
import { live, stageOf } from './stages.ts'
import { noteOf } from './notes.ts'
import { savedLogOf, saveOf } from './saves.ts'
import { stragglersOf } from './stragglers.ts'
import type { Ctx, NodeLive, RoleLive, Run, Worker } from './types.ts'
import { exitOf, startedAtOf, viewOf } from './worker.ts'

function workerState(ctx: Ctx, worker: Worker): WorkerState {
  const stage = stageOf(worker)
  if (stage === 'waiting')
    return isTerminal(worker.run.record.state) && lastRun(worker) !== null ? 'exited' : 'pending'
  if (stage === 'ended' || stage === 'exited') return 'exited'
  if (ctx.s.nodes.get(worker.record.node ?? '')?.state === 'lost') return 'lost'
  if (worker.record.ending !== null || worker.report?.phase === 'stopping') return 'stopping'
  return stage === 'placed' || stage === 'prepared' ? 'starting' : 'running'
}

function workerStatus(ctx: Ctx, worker: Worker, heldBy: Waits): WorkerStatus {
  const { record, run, role } = worker
  const view = viewOf(worker)
  const waits = record.phase === 'waiting'
  const attempts = attemptsOf(worker)
  const save = saveOf(ctx, worker)
  return {
    worker: workerIdOf(run.record.run, record.role, record.index),
    role: record.role,
    index: record.index,
    node: record.node ?? attempts.at(-1)?.node ?? null,
    incarnation: ctx.s.nodes.get(record.node ?? '')?.incarnation ?? record.incarnation,
    forkId: forkIdOf(run.record.run, record.role, record.index, record.attempt),
    pid: waits ? null : view.pid,
    state: workerState(ctx, worker),
    ready: stageOf(worker) === 'ready',
    attempt: record.attempt,
    addr: waits ? null : view.addr,
    ports: waits ? [] : view.ports,
    gpus: waits ? [] : view.gpus,
    exit: view.exit,
    receipt: view.receipt,
    ranks: role.spec.kind === 'torchrun' ? view.ranks : [],
    // coordinator.fork will make them
    children: [],
    attempts,
    ...(record.attemptsForgotten !== undefined && { attemptsForgotten: record.attemptsForgotten }),
    startedAt: view.startedAt,
    exitedAt: view.exitedAt,
    reason: workerReason(ctx, worker, heldBy),
    ...(worker.report?.signals !== undefined && { signals: worker.report.signals }),
    saved: view.saved ?? null,
    ...(save !== null && { save }),
  }
}

function roleState(ctx: Ctx, role: RoleLive): string {
  const { counts, workers } = role
  if (isDone(role)) return 'exited'
  const states = new Set(workers.map((worker) => workerState(ctx, worker)))
  for (const state of ['lost', 'stopping', 'starting', 'pending'] as const)
    if (states.has(state)) return state
  return counts.exited + counts.ended === workers.length || [...states].every((one) => one === 'exited')
    ? 'exited'
    : 'running'
}

/** All but the workers: the part of a status that does not grow with them. */
function headOf(ctx: Ctx, run: Run): Omit<RunStatus, 'stragglers' | 'workers'> {
  const { record } = run
  const [note, help] = [noteOf(ctx, run), helpOf(ctx, run)]
  return {
    ...(note !== null && { note }),
    ...(help !== null && { help }),
    run: record.run,
    name: record.name,
    user: record.user,
    state: record.state,
    reason: reasonOf(ctx, run),
    attempt: attemptOf(run),
    code: record.code,
    acceptedAt: record.acceptedAt,
    endedAt: record.endedAt,
    firstFailure: record.firstFailure?.failure ?? null,
    clocks: clocksAt(run, ctx.wall),
    stopMs:
      record.endedAt === null || record.stopping === null
        ? null
        : Math.max(0, record.endedAt - record.stopping.at),
    roles: run.roles.map((role) => ({
      role: role.spec.name,
      kind: role.spec.kind,
      state: roleState(ctx, role),
      workers: role.workers.length,
      ready: role.counts.ready,
      started: role.workers.filter(hasBegun).length,
      wasReady: role.workers.filter(wasReady).length,
      ended: role.counts.ended,
      startSkewMs: record.startSkewMs[role.spec.name] ?? null,
      ...(role.spec.stop.saved !== undefined && { savedLog: savedLogOf(role) }),
    })),
  }
}

function hasBegun(worker: Worker): boolean {
  return startedAtOf(worker) !== null || !['waiting', 'placed', 'prepared'].includes(stageOf(worker))
}
function wasReady(worker: Worker): boolean {
  return worker.everReady || stageOf(worker) === 'ready' || exitOf(worker)?.code === 0
}

/** All of a run, for its archive. */
export function statusOf(ctx: Ctx, run: Run): RunStatus {
  const waits = rememberWaits(ctx)
  return {
    ...headOf(ctx, run),
    stragglers: stragglersOf(ctx, run),
    workers: run.workers.map((worker) => workerStatus(ctx, worker, waits)),
  }
}

/**
 * A page of a run's workers, or of a role's, with their stragglers.
 *
 * @throws {Fault} REQUEST_INVALID for a cursor that is none of these workers
 */
export function statusPage(
  ctx: Ctx,
  run: Run,
  workers: readonly Worker[],
  { from, count }: PageQuery,
): ReplyOf<'coordinator.status'> {
  const waits = rememberWaits(ctx)
  const stragglers = new Map<string, Straggler[]>()
  for (const straggler of stragglersOf(ctx, run)) {
    const others = stragglers.get(straggler.worker)
    if (others === undefined) stragglers.set(straggler.worker, [straggler])
    else others.push(straggler)
  }
  const { items, next } = fillPage(
    workers.slice(startOf(run, workers, from)),
    (worker) => ({
      status: workerStatus(ctx, worker, waits),
      stragglers: stragglers.get(worker.id) ?? [],
    }),
    { count },
  )
  return {
    ...headOf(ctx, run),
    stragglers: items.flatMap((item) => item.stragglers),
    workers: items.map((item) => item.status),
    next: next?.id ?? null,
  }
}

/** A cursor is the name of a worker: the first at or behind it, in the order of the roles. */
function startOf(run: Run, workers: readonly Worker[], from: string | undefined): number {
  if (from === undefined) return 0
  const name = parseWorkerId(from)
  const role = run.byRole.get(name?.role ?? '')
  const isOfThese = workers.some((worker) => worker.role === role)
  if (name?.run !== run.record.run || !isOfThese)
    throw noCursor(from, `the workers asked for of ${run.record.run}`)
  const places = new Map(run.roles.map((one, place) => [one, place]))
  const start = workers.findIndex(
    (worker) =>
      places.get(worker.role)! > places.get(role!)! ||
      (worker.role === role && worker.record.index >= name.index),
  )
  return start < 0 ? workers.length : start
}

export function summaryOf(ctx: Ctx, run: Run): RunSummary {
  const { record } = run
  return {
    run: record.run,
    name: record.name,
    user: record.user,
    state: record.state,
    reason: reasonOf(ctx, run),
    code: record.code,
    workers: run.workers.length,
    ready: run.roles.reduce((sum, role) => sum + role.counts.ready, 0),
    acceptedAt: record.acceptedAt,
    endedAt: record.endedAt,
  }
}

/** An archived status as a line of the list. */
export function summaryOfStatus(status: RunStatus): RunSummary {
  return {
    run: status.run,
    name: status.name,
    user: status.user,
    state: status.state,
    reason: status.reason,
    code: status.code,
    workers: status.roles.reduce((sum, role) => sum + role.workers, 0),
    ready: 0,
    acceptedAt: status.acceptedAt,
    endedAt: status.endedAt,
  }
}

/** A node's line fits a page whatever it holds. */
const UNOWNED_SHOWN = 100

export function nodeInfo(ctx: Ctx, node: NodeLive): NodeInfo {
  const draining = ctx.s.drains.has(node.name) || node.drainingItself
  return {
    node: node.name,
    incarnation: node.incarnation ?? '',
    state: node.state === 'ready' && draining ? 'draining' : node.state,
    pid: node.pid,
    hostname: node.capacity?.hostname ?? '',
    address: node.capacity?.host ?? '',
    cpus: node.capacity?.cpus ?? 0,
    gpus: node.capacity?.gpus.length ?? 0,
    ...(node.gpuPeers.size > 0 && {
      gpusSharedWith: [...node.gpuPeers.keys()].map(({ name }) => name).toSorted(),
    }),
    memoryBytes: node.capacity?.memoryBytes ?? 0,
    workers: [...node.workers].filter(live).length,
    lastSeenMs: Math.max(0, ctx.now - node.beatAt),
    loopLagMs: node.loopLagMs,
    unowned: [...node.unowned.keys()].slice(0, UNOWNED_SHOWN),
    unownedCount: node.unowned.size,
    reason:
      [nodeReason(ctx, node, draining), node.capacity?.gpuTrouble, cutOffText(ctx, node)]
        .filter((text) => text != null)
        .join('; ') || null,
  }
}

function nodeReason(ctx: Ctx, node: NodeLive, draining: boolean): string | null {
  if (node.storeRefused) return `it does not know this state store: troupe nodes adopt ${node.name}`
  if (node.reason !== null) return node.reason
  return node.state === 'ready' && !draining && !isOpen(ctx, node) ? 'its inventory has not come yet' : null
}
