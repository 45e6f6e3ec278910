/**
 * What the coordinator tells the world: a run's change of state, a node's, a worker that is lost. An event's
 * id follows from the record, so that a leader who tells it again after a failover tells the same event.
 */
import { KEY_CHARS_MAX } from '../../protocol/bounds.ts'
import type { FaultBody } from '../../protocol/faults.ts'
import { forkIdOf, toName } from '../../protocol/names.ts'
import { isTerminal } from '../../protocol/shapes.ts'
import type { NodeWhat, RunWhat } from '../../protocol/table.ts'
import { secondsText } from './seconds-text.ts'
import type { Ctx, NodeLive, Restart, Run, Worker } from './types.ts'

const RESTART_CHARS = 500

export function attemptOf(run: Run): number {
  return run.workers.reduce((most, worker) => Math.max(most, worker.record.attempt), 0)
}

function runEvent(
  ctx: Ctx,
  run: Run,
  what: RunWhat,
  id: string,
  reason: string | null = run.record.reason,
): void {
  const { record } = run
  ctx.out.push({
    kind: 'publish',
    row: 'event.run',
    params: { run: record.run, what },
    body: {
      id,
      at: ctx.wall,
      what,
      run: record.run,
      name: record.name,
      user: record.user,
      state: record.state,
      reason,
      attempt: attemptOf(run),
      code: record.code,
      firstFailure: record.firstFailure?.failure ?? null,
      key: record.key,
      fault: null,
    },
  })
}

/** The event that a run was accepted has an id of its own, whoever tells it and however often. */
export function acceptedId(run: string): string {
  return `${run}.accepted`
}
export function tellAccepted(ctx: Ctx, run: Run): void {
  return runEvent(ctx, run, 'accepted', acceptedId(run.record.run))
}

export function restartText({ count, failure }: Pick<Restart, 'count' | 'failure'>): string {
  return count === null ? failure : `${count}: ${failure}`
}

/** Some of a run is started again: why, and when. Told before its workers wait. */
export function tellRestart(
  ctx: Ctx,
  { workers, backoffMs, count, failure }: Omit<Restart, 'by' | 'kind'>,
): void {
  const [first] = workers
  if (first === undefined) return
  const { run } = first
  const attempt = Math.max(...workers.map((worker) => worker.record.attempt))
  // the run is the same one
  const cause = failure.replaceAll(`${run.record.run}/`, '').slice(0, RESTART_CHARS)
  const pause = secondsText(Math.max(1, backoffMs))
  runEvent(
    ctx,
    run,
    'restart',
    `${run.record.run}.restart.${first.record.role}.${first.record.index}.${attempt}`,
    `attempt ${attempt}: ${cause}; attempt ${attempt + 1} in ${pause}${count === null ? '' : ` (${count})`}`,
  )
}

/** Tell the present state, if it has not been told. */
export function tellState(ctx: Ctx, run: Run): void {
  const { record } = run
  if (record.state === run.toldState && (record.state !== 'pending' || record.reason === run.toldReason))
    return
  const again = record.state === run.toldState
  run.told = again ? run.told + 1 : 0
  run.toldState = record.state
  run.toldReason = record.reason
  const what = isTerminal(record.state) ? 'ended' : (record.state as RunWhat)
  runEvent(
    ctx,
    run,
    what,
    `${record.run}.${what}.${Math.round(record.clocks.since)}${again ? `.${ctx.s.incarnation}.${run.told}` : ''}`,
  )
}

export function rejectedEvent(
  ctx: Ctx,
  options: { name: string; user: string; key: string | null; fault: FaultBody; id: string },
): void {
  // whatever was sent: an event is small
  const name = options.name.slice(0, KEY_CHARS_MAX)
  const run = toName(name)
  ctx.out.push({
    kind: 'publish',
    row: 'event.run',
    params: { run, what: 'rejected' },
    body: {
      id: options.id,
      at: ctx.wall,
      what: 'rejected',
      run,
      name,
      user: options.user,
      state: 'failed',
      reason: options.fault.message,
      attempt: 0,
      code: null,
      firstFailure: null,
      key: options.key?.slice(0, KEY_CHARS_MAX) ?? null,
      fault: { ...options.fault },
    },
  })
}

export function nodeEvent(ctx: Ctx, node: NodeLive, what: NodeWhat, reason: string | null): void {
  ctx.out.push({
    kind: 'publish',
    row: 'event.node',
    params: { what, node: node.name },
    body: {
      id: `${ctx.s.incarnation}.${node.name}.${what}.${++ctx.s.counter}`,
      at: ctx.wall,
      what,
      node: node.name,
      incarnation: node.incarnation ?? '',
      reason,
    },
  })
}

export function lostEvent(ctx: Ctx, worker: Worker, node: NodeLive): void {
  const { record } = worker
  const { run } = worker.run.record
  const forkId = forkIdOf(run, record.role, record.index, record.attempt)
  ctx.out.push({
    kind: 'publish',
    row: 'event.lost',
    params: { run, role: record.role, index: record.index },
    body: {
      id: `${forkId}.lost.${ctx.s.incarnation}.${++ctx.s.counter}`,
      at: ctx.wall,
      what: 'lost',
      run,
      role: record.role,
      index: record.index,
      attempt: record.attempt,
      node: node.name,
      forkId,
      reason: `node ${node.name}: ${node.reason ?? 'lost'}`,
    },
  })
}
