/**
 * One run, looked at again: its gangs go on, exits are judged, deadlines checked, roles started, a stop
 * carried through. Level-triggered: it may be called at any time and any number of times; what is due next
 * sets a timer.
 */
import { isBy, type Cause } from '../../protocol/causes.ts'
import { isTerminal, type FirstFailure } from '../../protocol/shapes.ts'
import { exitCodeOf } from '../../protocol/signals.ts'
import { tellState } from './events.ts'
import { exitText } from './exit-code.ts'
import { earlier, failureOf } from './first-failure.ts'
import { advanceGang, dissolve, isAborted, launchGang } from './gangs.ts'
import { unreserve } from './node-usage.ts'
import { backoff, giveOrders } from './orders.ts'
import {
  exitOf,
  failedRank,
  isDone,
  isLeftOut,
  isLost,
  isMet,
  isNotReady,
  isWork,
  outcomeOf,
  type FailedRank,
} from './outcome.ts'
import { enterQueue, leaveQueue } from './queue.ts'
import { isPortConflict } from './port-conflict.ts'
import { lostExit } from './reports.ts'
import {
  advanceRestart,
  beginRestart,
  isUsers,
  judgeRestart,
  noteRestart,
  replacedBy,
  toWaiting,
  triesOf,
} from './restart.ts'
import { clocksAt, liveState, setState } from './run-state.ts'
import { reasonOf } from './explain.ts'
import { advanceStop, beginStop, cancelRun, endingOf, endNeverStarted, isStopped } from './stop.ts'
import {
  live,
  touchRun,
  touchWorker,
  wakeAt,
  type Ctx,
  type Gang,
  type RoleLive,
  type Run,
  type Worker,
} from './state.ts'

export function decide(ctx: Ctx, run: Run): void {
  const { record } = run
  if (isTerminal(record.state)) {
    run.work.clear()
    run.exits.clear()
    return
  }
  endNeverStarted(ctx, run)
  advanceGangs(ctx, run)
  judgeExits(ctx, run)
  if (record.stopping === null) tellPeersOfRanks(ctx, run)
  if (record.stopping === null) checkTimes(ctx, run)
  if (record.stopping === null) checkDone(ctx, run)
  if (record.stopping === null) for (const role of run.roles) advanceRole(ctx, role)
  if (record.stopping !== null) {
    leaveQueue(ctx, run)
    advanceStop(ctx, run)
    endNeverStarted(ctx, run)
    if (isStopped(run)) finish(ctx, run)
  }
  if (!isTerminal(record.state)) {
    giveOrders(ctx, run)
    setState(ctx, run, record.stopping === null ? liveState(run) : 'stopping')
    if (record.state === 'pending' || record.state !== run.toldState) record.reason = reasonOf(ctx, run)
  }
  // it is placed in this very step, perhaps
  if (!(ctx.s.placeDue && ctx.s.queue.has(run))) tellState(ctx, run)
}

// — gangs —

function advanceGangs(ctx: Ctx, run: Run): void {
  const news = new Map<Gang, Worker[]>()
  for (const worker of run.work) {
    if (worker.gang === null) continue
    const list = news.get(worker.gang)
    if (list === undefined) news.set(worker.gang, [worker])
    else list.push(worker)
  }
  for (const [gang, workers] of news) {
    if (!gang.role.gangs.has(gang)) continue
    advanceGang(ctx, gang, workers)
    endNeverStarted(ctx, run)
    if (isAborted(gang)) onAborted(ctx, gang)
  }
}

/** All of a void attempt is over: again, elsewhere, or the run could not be started. */
function onAborted(ctx: Ctx, gang: Gang): void {
  const { role, workers } = gang
  const { run } = role
  const abort = gang.abort!
  const { settings } = ctx.s
  dissolve(gang)
  if (run.record.stopping !== null) return
  const unproven = workers.find((worker) => worker.record.receipt?.outcome !== 'gone')
  const uncounted = abort.retry === 'elsewhere' || abort.retry === 'busy'
  const tries = uncounted ? role.launchTries : ++role.launchTries
  if (unproven === undefined && (uncounted || (abort.retry === 'again' && tries < settings.launchTries))) {
    const pauseMs =
      abort.retry === 'elsewhere'
        ? 1
        : abort.retry === 'busy'
          ? backoff(settings.busyRetryMs, (role.busy?.tries ?? 1) - 1)
          : backoff(settings.launchRetryMs, tries - 1)
    noteRestart(ctx, role, 'launch', pauseMs)
    for (const worker of workers) if (!isUsers(worker)) toWaiting(ctx, worker)
    ctx.out.push({
      kind: 'log',
      level: 'warn',
      fields: {
        msg: 'an attempt is void',
        run: run.record.run,
        role: role.spec.name,
        why: abort.text,
        again: true,
      },
    })
    return
  }
  const { blame } = abort
  const failure: FirstFailure | null =
    blame === null
      ? null
      : {
          worker: blame.id,
          node: blame.record.node ?? '',
          exit: abort.exit ?? lostExit(abort.text),
          stderrTail: blame.report?.stderrTail ?? blame.record.stderrTail,
          at: abort.at,
          uncertain: false,
        }
  run.record.firstFailure = failure
  const text =
    unproven === undefined
      ? abort.text
      : `${abort.text}; ${unproven.id} is not proven gone, so it is not tried again`
  beginStop(ctx, run, {
    by: { by: 'start', role: role.spec.name },
    why: 'could-not-start',
    text: `could not start: ${text}${tries > 1 ? ` (tried ${tries} times)` : ''}`,
    code: abort.code,
    kill: false,
  })
}

// — exits —

function judgeExits(ctx: Ctx, run: Run): void {
  for (const worker of run.exits) {
    run.exits.delete(worker)
    const exit = exitOf(worker)
    if (worker.judged || exit === null) continue
    worker.judged = true
    const { stopping } = run.record
    if (stopping?.why === 'failed' && exit.killedBy === null && exit.code !== 0)
      compareFailure(ctx, run, worker)
    if (stopping !== null || worker.role.restart?.workers.includes(worker) === true) continue
    if (isBy(exit.killedBy, 'user') && worker.record.ending === null) {
      // a person ended it while no coordinator was there to be asked (`troupe down`): the run did not succeed
      cancelRun(ctx, run, exit.killedBy, true)
      continue
    }
    const outcome = outcomeOf(worker)
    if (outcome === 'failed') onFailure(ctx, worker)
    else if (
      outcome === 'ok' &&
      worker.role.spec.kind === 'torchrun' &&
      run.record.firstDoneAt?.[worker.role.spec.name] === undefined
    ) {
      run.record.firstDoneAt = { ...run.record.firstDoneAt, [worker.role.spec.name]: ctx.wall }
      // with the entry of its exit: this decides nothing yet
      touchWorker(ctx, worker, false)
      wakeAt(ctx, run, ctx.now + ctx.s.settings.peerExitMs)
    }
  }
}

/**
 * A rank has failed, so its torchrun will (it is never told to restart ranks), but only seconds later. Its
 * peers are told to end now. What the failure means is judged at that torchrun's exit, which has the last
 * words; a peer with a failed rank of its own ends by itself.
 */
function tellPeersOfRanks(ctx: Ctx, run: Run): void {
  const { rankFailureMs } = ctx.s.settings
  const failedRankOf = (worker: Worker): FailedRank | null =>
    worker.report === null ? null : failedRank(worker.report)
  for (const worker of run.work) {
    const { role } = worker
    if (role.spec.kind !== 'torchrun' || role.rankFailed !== null) continue
    if (!live(worker) || worker.record.ending !== null || exitOf(worker) !== null) continue
    const failed = failedRankOf(worker)
    if (failed !== null)
      role.rankFailed = { at: ctx.now, by: { by: 'rank', worker: worker.id, rank: failed.rank.rank } }
  }
  for (const role of run.roles) {
    if (role.rankFailed === null || role.restart !== null || !role.spec.failFast) continue
    const dueAt = role.rankFailed.at + rankFailureMs
    if (ctx.now < dueAt) wakeAt(ctx, run, dueAt)
    else
      for (const peer of role.workers)
        if (live(peer) && peer.record.ending === null && exitOf(peer) === null && failedRankOf(peer) === null)
          endingOf(ctx, peer, role.rankFailed.by, null)
  }
}

function nameOf(failure: FirstFailure): string {
  return failure.rank === undefined
    ? failure.worker
    : `${failure.worker.split('/').slice(0, 2).join('/')}:${failure.rank}`
}
function failureText(failure: FirstFailure): string {
  return `${nameOf(failure)} ${exitText(failure.exit)}${failure.node === '' ? '' : ` on ${failure.node}`}`
}
function causeOf({ worker, rank }: FirstFailure): Cause {
  return { by: 'peer', worker, ...(rank !== undefined && { rank }) }
}
/** A service that exits 0 while others need it has failed all the same. */
function failureCode(failure: FirstFailure): number {
  return exitCodeOf(failure.exit) || 1
}

/** Another failed by itself before it was told to end: was it the first? */
function compareFailure(ctx: Ctx, run: Run, worker: Worker): void {
  const other = failureOf(worker, ctx.s.nodes.get(worker.record.node ?? ''), ctx.wall)
  if (run.failure === null || other === null || run.failure.failure.worker === worker.id) return
  const first = earlier(run.failure, other)
  if (first === run.failure) return
  run.failure = first
  run.record.firstFailure = first.failure
  run.record.stopping = {
    ...run.record.stopping!,
    by: causeOf(first.failure),
    text: failureText(first.failure),
    code: failureCode(first.failure),
  }
  touchRun(ctx, run)
}

function onFailure(ctx: Ctx, worker: Worker): void {
  const { run, role } = worker
  const failure = failureOf(worker, ctx.s.nodes.get(worker.record.node ?? ''), ctx.wall)
  if (failure === null) return
  const text = failureText(failure.failure)
  if (lostItsPort(ctx, worker)) {
    // a port that only the child knows is replaced with the child; one that its peers were told is void for
    // all of them
    const workers =
      role.workers.length === 1 && role.spec.kind !== 'torchrun'
        ? [worker]
        : role.workers.filter((other) => other.record.phase !== 'waiting' && !isUsers(other))
    return beginRestart(ctx, role, {
      workers,
      backoffMs: 100,
      text: `${text}: a stranger took its port`,
      kind: 'port',
      by: causeOf(failure.failure),
    })
  }
  const verdict = judgeRestart(ctx, worker)
  if (verdict.again) {
    ctx.out.push({
      kind: 'log',
      level: 'warn',
      fields: {
        msg: 'a worker failed and is started again',
        worker: worker.id,
        why: text,
        try: verdict.text,
      },
    })
    if (role.spec.restart.scope === 'run') {
      run.restartRole = { role, backoffMs: verdict.backoffMs }
      return beginStop(ctx, run, {
        by: causeOf(failure.failure),
        why: 'restart',
        text: `${verdict.text}: ${text}`,
        code: 0,
        kill: false,
      })
    }
    return beginRestart(ctx, role, {
      workers: replacedBy(worker),
      backoffMs: verdict.backoffMs,
      text: `${verdict.text}: ${text}`,
      kind: 'restart',
      by: causeOf(failure.failure),
    })
  }
  run.failure = run.failure === null ? failure : earlier(run.failure, failure)
  run.record.firstFailure = run.failure.failure
  if (!role.spec.failFast && !isDone(role)) return touchRun(ctx, run)
  if (isNotReady(worker))
    return timedOut(
      ctx,
      run,
      'ready',
      `${worker.id} was not ready within ${secondsText(role.spec.ready?.timeoutMs ?? 0)}${worker.report?.readyReason == null ? '' : `: ${worker.report.readyReason}`}`,
    )
  fail(ctx, run, isLost(worker), verdict.text)
}

function lostItsPort(ctx: Ctx, worker: Worker): boolean {
  const { role, report, run } = worker
  const { portConflictMs, portConflictTries } = ctx.s.settings
  if (
    report === null ||
    (role.spec.ready !== null && worker.everReady) ||
    !isPortConflict(report, portConflictMs)
  )
    return false
  return triesOf(run, role.spec.name, 'port').length < portConflictTries
}

function fail(ctx: Ctx, run: Run, lost: boolean, extra: string | null): void {
  const failure = run.record.firstFailure!
  beginStop(ctx, run, {
    by: lost ? { by: 'node-lost', node: failure.node } : causeOf(failure),
    why: lost ? 'lost' : 'failed',
    text: `${failureText(failure)}${extra === null ? '' : ` (${extra})`}`,
    code: lost ? 125 : failureCode(failure),
    kill: false,
  })
}

// — time —

/** A new leader has not heard its node yet: what became of it meanwhile may have been in time. */
function isUnheard(ctx: Ctx, worker: Worker): boolean {
  const node = worker.record.node === null ? undefined : ctx.s.nodes.get(worker.record.node)
  return (
    live(worker) && worker.report === null && node !== undefined && !node.inventoried && node.state !== 'lost'
  )
}

function secondsText(ms: number): string {
  return ms >= 120_000 ? `${Math.round(ms / 6000) / 10} min` : `${Math.round(ms / 100) / 10} s`
}

type Clock = Extract<Cause, { by: 'deadline' }>['clock']

function timedOut(ctx: Ctx, run: Run, clock: Clock, text: string): void {
  return beginStop(ctx, run, {
    by: { by: 'deadline', clock },
    why: 'timed-out',
    text,
    code: 124,
    kill: false,
  })
}

function checkTimes(ctx: Ctx, run: Run): void {
  const { queueMs, startMs, runMs } = run.spec.deadlines
  const { state, clocks } = run.record
  // waiting and starting are judged each time anew, running in all
  const inState = ctx.wall - clocks.since
  const [limit, spent, word] =
    state === 'pending'
      ? ([queueMs, inState, 'queue'] as const)
      : state === 'starting'
        ? ([startMs, inState, 'start'] as const)
        : ([runMs, clocksAt(run, ctx.wall).runMs, 'run'] as const)
  if (limit !== null) {
    if (spent >= limit)
      return timedOut(
        ctx,
        run,
        word,
        `deadline ${word}: ${secondsText(limit)} are over${state === 'running' ? '' : ` (${reasonOf(ctx, run) ?? state})`}`,
      )
    wakeAt(ctx, run, ctx.now + limit - spent)
  }
  checkPeers(ctx, run)
}

/** One torchrun agent exited 0 early: its peers have so long. */
function checkPeers(ctx: Ctx, run: Run): void {
  const { peerExitMs } = ctx.s.settings
  for (const role of run.roles) {
    const firstDoneAt = run.record.firstDoneAt?.[role.spec.name]
    if (firstDoneAt === undefined || role.restart !== null || isDone(role)) continue
    const left = firstDoneAt + peerExitMs - ctx.wall
    if (left > 0) {
      wakeAt(ctx, run, ctx.now + left)
      continue
    }
    const late = role.workers.find(
      (worker) => live(worker) && exitOf(worker) === null && !isUnheard(ctx, worker),
    )
    if (late === undefined || run.record.stopping !== null) continue
    run.record.firstFailure = {
      worker: late.id,
      node: late.record.node ?? '',
      exit: lostExit(`it ran on ${secondsText(peerExitMs)} after a peer had exited 0`),
      stderrTail: [],
      at: ctx.wall,
      uncertain: false,
    }
    beginStop(ctx, run, {
      by: { by: 'deadline', clock: 'peer-exit' },
      why: 'failed',
      text: `${late.id} did not end within ${secondsText(peerExitMs)} of a peer that exited 0`,
      code: 1,
      kill: false,
    })
  }
}

// — the end —

/** `stopWhen`, or all that is work is done. */
function checkDone(ctx: Ctx, run: Run): void {
  const work = run.roles.filter(isWork)
  const { stopWhen } = run.spec
  const watched = stopWhen === null ? (work.length > 0 ? work : run.roles) : [run.byRole.get(stopWhen.role)!]
  if (!watched.every(isDone)) {
    // a role that carries on after a failure ends the run when all of it is done
    const failed = run.record.firstFailure
    if (
      failed !== null &&
      run.roles.some(
        (role) =>
          !role.spec.failFast && isDone(role) && role.workers.some((worker) => worker.id === failed.worker),
      )
    )
      fail(ctx, run, false, null)
    return
  }
  if (run.record.firstFailure !== null) return fail(ctx, run, false, null)
  const user = watched.flatMap((role) => role.workers).find(isUsers)
  if (user !== undefined) return cancelRun(ctx, run, user.record.ending!, false)
  beginStop(ctx, run, {
    by: stopWhen === null ? { by: 'done' } : { by: 'stop-when', role: stopWhen.role },
    why: 'done',
    text: watched.length === 1 ? `${watched[0]!.spec.name} is done` : 'all roles are done',
    code: 0,
    kill: false,
  })
}

const TERMINAL = {
  done: 'succeeded',
  failed: 'failed',
  cancelled: 'cancelled',
  'timed-out': 'timed-out',
  'could-not-start': 'failed',
  lost: 'lost',
} as const

function finish(ctx: Ctx, run: Run): void {
  const { record } = run
  const { why, text, code } = record.stopping!
  if (why === 'restart') return restartRun(ctx, run)
  record.code = code
  record.endedAt = ctx.wall
  record.reason = why === 'done' ? null : text
  setState(ctx, run, TERMINAL[why])
  run.work.clear()
  leaveQueue(ctx, run)
  ctx.s.ended.push(run)
}

function restartRun(ctx: Ctx, run: Run): void {
  const { record } = run
  const left = run.workers.find(
    (worker) => worker.record.receipt !== null && worker.record.receipt.outcome !== 'gone',
  )
  const { text } = record.stopping!
  if (left !== undefined) {
    record.stopping = {
      ...record.stopping!,
      why: 'failed',
      text: `${text}; but ${left.id} is not proven gone`,
      code: 125,
    }
    return finish(ctx, run)
  }
  const by = run.restartRole ?? {
    role: run.roles.find((role) => role.spec.restart.scope === 'run') ?? run.roles[0]!,
    backoffMs: 1000,
  }
  run.restartRole = null
  record.stopping = null
  record.roleReadyAt = {}
  for (const worker of run.workers)
    if (worker.record.phase === 'ended' && !isUsers(worker)) toWaiting(ctx, worker)
  for (const role of run.roles) role.stop = { pass: 'none', next: -1 }
  noteRestart(ctx, by.role, 'restart', by.backoffMs)
  setState(ctx, run, 'pending')
}

// — roles —

function advanceRole(ctx: Ctx, role: RoleLive): void {
  const { run, counts, spec } = role
  const { record } = run
  if (record.stopping !== null) return
  if (role.restart !== null) {
    const left = advanceRestart(ctx, role)
    if (left !== null) {
      record.firstFailure ??= {
        worker: left.id,
        node: left.record.node ?? '',
        exit: left.record.exit ?? lostExit('it is not proven gone'),
        stderrTail: left.record.stderrTail,
        at: ctx.wall,
        uncertain: false,
      }
      return beginStop(ctx, run, {
        by: role.restart!.by,
        why: 'failed',
        text: `${role.restart!.text}; but ${left.id} is not proven gone, so nothing is started beside it`,
        code: 125,
        kill: false,
      })
    }
  }
  if (
    counts.ready > 0 &&
    counts.ready === role.workers.length - counts.waiting &&
    record.roleReadyAt[spec.name] === undefined &&
    role.workers.every((w) => w.record.phase !== 'waiting' || isLeftOut(w))
  ) {
    record.roleReadyAt[spec.name] = ctx.wall
    touchRun(ctx, run)
    for (const dependent of role.dependents) ctx.s.dirty.add(dependent.run)
  }
  if (role.restart !== null || counts.waiting === 0 || role.filling?.abort != null) return
  const waiting = role.workers.filter((worker) => worker.record.phase === 'waiting' && !isLeftOut(worker))
  if (waiting.length === 0) return
  const backoffUntil = record.backoffUntil[spec.name] ?? null
  if (backoffUntil !== null && backoffUntil > ctx.wall)
    return wakeAt(ctx, run, ctx.now + backoffUntil - ctx.wall)
  if (waiting.some((worker) => worker.record.node === null)) {
    if (ctx.s.queue.has(run)) return
    return enterQueue(ctx, run)
  }
  run.placeReason = null
  if (role.filling === null && !dependenciesMet(ctx, role)) return
  const spoilt = waiting.filter((worker) => !isPlaceGood(ctx, worker))
  if (spoilt.length === 0) return launchGang(ctx, role, waiting)
  // a place that was kept went bad meanwhile: another one
  for (const worker of spoilt) unreserve(ctx, worker)
  enterQueue(ctx, run)
}

function isPlaceGood(ctx: Ctx, worker: Worker): boolean {
  const node = ctx.s.nodes.get(worker.record.node!)
  return (
    node !== undefined && node.state === 'ready' && node.inventoried && !node.storeRefused && !node.leaving
  )
}

function dependenciesMet(ctx: Ctx, role: RoleLive): boolean {
  const { run, spec } = role
  if (spec.dependsOn.length === 0) return true
  const unmet = spec.dependsOn.filter(({ role: on, condition }) => !isMet(run.byRole.get(on)!, condition))
  const waits = (run.record.waitsSince ??= {})
  // waited for again, after a restart, is waited for anew
  for (const { role: on } of spec.dependsOn)
    if (!unmet.some((dependency) => dependency.role === on)) delete waits[`${spec.name}/${on}`]
  for (const { role: on, condition, timeoutMs } of unmet) {
    // its patience counts from when this role could start but for it
    if (timeoutMs === null || unmet.length > 1) continue
    const key = `${spec.name}/${on}`
    if (waits[key] === undefined) touchRun(ctx, run)
    const since = (waits[key] ??= ctx.wall)
    if (ctx.wall - since >= timeoutMs) {
      if (run.byRole.get(on)!.workers.some((worker) => isUnheard(ctx, worker))) continue
      timedOut(
        ctx,
        run,
        'dependency',
        `role ${spec.name} waited ${secondsText(timeoutMs)} for ${on} to be ${condition}`,
      )
      return false
    }
    wakeAt(ctx, run, ctx.now + since + timeoutMs - ctx.wall)
  }
  return unmet.length === 0
}
