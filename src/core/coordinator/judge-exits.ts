/**
 * Root exits of a run: which one is a failure, which was the first, and what follows for its peers, its role
 * and the run. Owns no restart rule (restart.ts) and no order (orders.ts).
 */
import { isBy } from '../../protocol/causes.ts'
import { timedOut } from './deadlines.ts'
import { goOnWithFewer } from './elastic.ts'
import { causeOf, fail, failureCode, failureText } from './fail-run.ts'
import { earlier, failureOf } from './first-failure.ts'
import { isDone, isLost, isNotReady, outcomeOf } from './outcome.ts'
import { isPortConflict } from './port-conflict.ts'
import { beginRestart, isUsers, judgeRestart, replacedBy, triesOf } from './restart.ts'
import { secondsText } from './seconds-text.ts'
import { beginStop, cancelRun } from './stop.ts'
import { wakeAt } from './timers.ts'
import type { Ctx, Run, Worker } from './types.ts'
import { update } from './update.ts'
import { exitOf } from './worker.ts'

export function judgeExits(ctx: Ctx, run: Run): void {
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
      const firstDoneAt = { ...run.record.firstDoneAt, [worker.role.spec.name]: ctx.wall }
      // with the entry of its exit: this decides nothing yet
      update(ctx, run, { record: { firstDoneAt } }, 'soon')
      wakeAt(ctx, run, ctx.now + ctx.s.settings.peerExitMs)
    }
  }
}

/** Another failed by itself before it was told to end: was it the first? */
function compareFailure(ctx: Ctx, run: Run, worker: Worker): void {
  const other = failureOf(worker, ctx.s.nodes.get(worker.record.node ?? ''), ctx.wall)
  const told = run.record.firstFailure
  if (told === null || other === null || told.failure.worker === worker.id) return
  const first = earlier(told, other)
  if (first === told) return
  const { failure } = first
  const stopping = {
    ...run.record.stopping!,
    by: causeOf(failure),
    text: failureText(failure),
    code: failureCode(failure),
  }
  update(ctx, run, { record: { firstFailure: first, stopping } })
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
      count: null,
      failure: `${text}: a stranger took its port`,
      kind: 'port',
      by: causeOf(failure.failure),
    })
  }
  if (goOnWithFewer(ctx, worker, text, causeOf(failure.failure))) return
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
      run.restartRole = { role, backoffMs: verdict.backoffMs, count: verdict.text, failure: text }
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
      count: verdict.text,
      failure: text,
      kind: 'restart',
      by: causeOf(failure.failure),
    })
  }
  const told = run.record.firstFailure
  update(ctx, run, { record: { firstFailure: told === null ? failure : earlier(told, failure) } })
  if (!role.spec.failFast && !isDone(role)) return
  if (isNotReady(worker)) {
    const reason = worker.report?.readyReason ?? null
    const text = `${worker.id} was not ready within ${secondsText(role.spec.ready?.timeoutMs ?? 0)}`
    return timedOut(ctx, run, 'ready', reason === null ? text : `${text}: ${reason}`)
  }
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
