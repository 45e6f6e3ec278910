/**
 * What people and programs are shown: the status of a run, the list, the nodes. Reading never writes.
 */
import { forkIdOf, workerIdOf } from '../../protocol/names.ts'
import type {
  NodeInfo,
  RunStatus,
  RunSummary,
  Straggler,
  WorkerState,
  WorkerStatus,
} from '../../protocol/shapes.ts'
import { isTerminal } from '../../protocol/shapes.ts'
import { attemptOf } from './events.ts'
import { reasonOf, workerReason } from './explain.ts'
import { onOurClock } from './first-failure.ts'
import { exitOf, isDone } from './outcome.ts'
import { clocksAt } from './run-state.ts'
import { isOpen } from './node-usage.ts'
import { live, stageOf, type Ctx, type NodeLive, type RoleLive, type Run, type Worker } from './state.ts'

function workerState(ctx: Ctx, worker: Worker): WorkerState {
  const stage = stageOf(worker)
  if (stage === 'waiting') return 'pending'
  if (stage === 'ended' || stage === 'exited') return 'exited'
  if (ctx.s.nodes.get(worker.record.node ?? '')?.state === 'lost') return 'lost'
  if (worker.record.ending !== null || worker.report?.phase === 'stopping') return 'stopping'
  return stage === 'placed' || stage === 'prepared' ? 'starting' : 'running'
}

function workerStatus(ctx: Ctx, worker: Worker): WorkerStatus {
  const { record, report, run, role } = worker
  const seen = report ?? record.seen ?? null
  const waits = record.phase === 'waiting'
  return {
    worker: workerIdOf(run.record.run, record.role, record.index),
    role: record.role,
    index: record.index,
    node: record.node,
    incarnation: ctx.s.nodes.get(record.node ?? '')?.incarnation ?? record.incarnation,
    forkId: forkIdOf(run.record.run, record.role, record.index, record.attempt),
    pid: waits ? null : (seen?.pid ?? null),
    state: workerState(ctx, worker),
    ready: stageOf(worker) === 'ready',
    attempt: record.attempt,
    addr: waits ? null : (seen?.addr ?? null),
    ports: waits ? [] : (seen?.ports ?? []),
    gpus: waits ? [] : (seen?.gpus ?? []),
    exit: waits ? null : exitOf(worker),
    receipt: waits ? null : (record.receipt ?? report?.receipt ?? null),
    ranks: waits || role.spec.kind !== 'torchrun' ? [] : (seen?.ranks ?? []),
    children: [],
    startedAt: report?.startedAt ?? record.startedAt,
    exitedAt: report?.exitedAt ?? record.exitedAt,
    reason: workerReason(ctx, worker),
  }
}

function roleState(ctx: Ctx, role: RoleLive): string {
  const { counts, workers } = role
  if (isDone(role)) return 'exited'
  const states = new Set(workers.map((worker) => workerState(ctx, worker)))
  for (const state of ['lost', 'stopping', 'starting', 'pending'] as const)
    if (states.has(state)) return state
  return counts.exited + counts.ended === workers.length ? 'exited' : 'running'
}

/** Slow to join, slow to start, a stale heartbeat: by rank where there are ranks. */
function stragglersOf(ctx: Ctx, run: Run): Straggler[] {
  const { stragglerMs, suspectAfterMs } = ctx.s.settings
  const list: Straggler[] = []
  if (isTerminal(run.record.state)) return list
  for (const role of run.roles) {
    const rankOf = (worker: Worker): { rank?: number } =>
      role.spec.kind === 'torchrun' && worker.report?.ranks[0] !== undefined
        ? { rank: worker.report.ranks[0].rank }
        : {}
    const starts: { worker: Worker; at: number; rank?: number }[] = []
    for (const worker of role.workers) {
      if (!live(worker)) continue
      const node = ctx.s.nodes.get(worker.record.node ?? '')
      const silentMs = node === undefined ? 0 : ctx.now - node.beatAt
      if (node !== undefined && silentMs >= suspectAfterMs)
        list.push({
          worker: worker.id,
          ...rankOf(worker),
          kind: 'heartbeat',
          ms: silentMs,
          text: `node ${node.name} has not been heard for ${(silentMs / 1000).toFixed(1)} s`,
        })
      if (worker.record.startedAt === null) {
        const waitedMs = ctx.now - worker.orderedAt
        if (worker.orderedAt > 0 && waitedMs >= stragglerMs)
          list.push({
            worker: worker.id,
            kind: 'join',
            ms: waitedMs,
            text: `not started ${(waitedMs / 1000).toFixed(1)} s after it was ordered on ${worker.record.node}`,
          })
        continue
      }
      const at = (nodeWall: number): number => {
        const { lo, hi } = onOurClock(node, nodeWall, ctx.wall)
        return Number.isFinite(lo) ? (lo + hi) / 2 : nodeWall
      }
      starts.push({ worker, at: at(worker.record.startedAt) })
      for (const rank of worker.report?.ranks ?? [])
        if (rank.startedAt !== null && rank.restart === 0)
          starts.push({ worker, at: at(rank.startedAt), rank: rank.rank })
    }
    for (const ranks of [false, true]) {
      const of = starts.filter((start) => (start.rank !== undefined) === ranks)
      const first = Math.min(...of.map((start) => start.at))
      for (const { worker, at, rank } of of)
        if (at - first >= stragglerMs)
          list.push({
            worker: worker.id,
            ...(rank !== undefined && { rank }),
            kind: 'start',
            ms: at - first,
            text: `started ${((at - first) / 1000).toFixed(1)} s after the first of ${role.spec.name}`,
          })
    }
  }
  return list
}

export function statusOf(ctx: Ctx, run: Run): RunStatus {
  const { record } = run
  return {
    run: record.run,
    name: record.name,
    user: record.user,
    state: record.state,
    reason: reasonOf(ctx, run),
    attempt: attemptOf(run),
    code: record.code,
    acceptedAt: record.acceptedAt,
    endedAt: record.endedAt,
    firstFailure: record.firstFailure,
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
      startSkewMs: record.startSkewMs[role.spec.name] ?? null,
    })),
    stragglers: stragglersOf(ctx, run),
    workers: run.workers.map((worker) => workerStatus(ctx, worker)),
  }
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
    workers: status.workers.length,
    ready: 0,
    acceptedAt: status.acceptedAt,
    endedAt: status.endedAt,
  }
}

export function nodeInfo(ctx: Ctx, node: NodeLive): NodeInfo {
  const draining = ctx.s.drains.has(node.name) || node.drainingItself
  return {
    node: node.name,
    incarnation: node.incarnation ?? '',
    state: node.state === 'ready' && draining ? 'draining' : node.state,
    pid: node.pid,
    hostname: node.capacity?.hostname ?? '',
    cpus: node.capacity?.cpus ?? 0,
    gpus: node.capacity?.gpus.length ?? 0,
    ...(node.gpuPeers.size > 0 && {
      gpusSharedWith: [...node.gpuPeers.keys()].map(({ name }) => name).toSorted(),
    }),
    memoryBytes: node.capacity?.memoryBytes ?? 0,
    workers: [...node.workers].filter(live).length,
    lastSeenMs: Math.max(0, ctx.now - node.beatAt),
    loopLagMs: node.loopLagMs,
    unowned: [...node.unowned.keys()],
    reason: node.storeRefused
      ? `it does not know this state store: troupe nodes adopt ${node.name}`
      : (node.reason ??
        (node.state === 'ready' && !draining && !isOpen(ctx, node)
          ? 'its inventory has not come yet'
          : null)),
  }
}
