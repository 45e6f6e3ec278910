/**
 * Orders of a coordinator: what each verb does. refusals.ts says which orders are obeyed, ladder.ts has the
 * stop ladder, starts.ts and lifecycle.ts what follows from a host's answers.
 */
import { Fault, type FaultBody } from '../../protocol/faults.ts'
import { fillPage, noCursor } from '../../protocol/pages.ts'
import { stopFork } from './ladder.ts'
import { obeyEpoch, refusalOf, type OrderEvent } from './refusals.ts'
import { isForkId, reportOf, reportsOf, type Awaited } from './report.ts'
import { releaseIfDone } from './lifecycle.ts'
import { newFork, type AgentState, type Fork, type Order, type Out } from './agent-state.ts'

type BodyOfVerb<V extends Order['verb']> = Extract<Order, { verb: V }>['body']

export function stepOrder(state: AgentState, event: OrderEvent, out: Out): void {
  const { order, request, at } = event
  const refusal = refusalOf(state, event)
  if (refusal !== null) return void out.push({ type: 'fault', order, fault: refusal.toBody() })
  obeyEpoch(state, event, out)
  switch (request.verb) {
    case 'prepare':
      return prepare(state, order, request.body, at, out)
    case 'start':
      return start(state, order, request.body, at, out)
    case 'kill':
      return kill(state, order, request.body, at, out)
    case 'cancel':
      return cancel(state, order, request.body, at, out)
    case 'signal':
      return signal(state, order, request.body, out)
    case 'release':
      return release(state, order, request.body, out)
    case 'inventory':
      return inventory(state, order, request.body, out)
    case 'adopt':
      state.epoch = {
        storeId: request.body.storeId,
        n: state.epoch?.storeId === request.body.storeId ? state.epoch.n : 0,
      }
      state.storeRefused = false
      return void out.push({ type: 'remember', epoch: state.epoch, order })
    default:
      return request satisfies never
  }
}

function wait(
  state: AgentState,
  order: number,
  left: Awaited[],
  forks: string[],
  token: string | null,
  out: Out,
): void {
  if (left.length > 0) return void state.waiting.set(order, { left: new Set(left), forks, token })
  const reports = reportsOf(state, forks)
  out.push({ type: 'reply', order, body: token === null ? { forks: reports } : { forks: reports, token } })
}

function refuse(order: number, fault: FaultBody, out: Out): void {
  return void out.push({ type: 'fault', order, fault })
}

function prepare(
  state: AgentState,
  order: number,
  { forks: specs, lapseMs }: BodyOfVerb<'prepare'>,
  at: number,
  out: Out,
): void {
  const ids = specs.map((spec) => spec.forkId)
  const known = ids.flatMap((id) => state.forks.get(id) ?? [])
  const ended = known.find((fork) => fork.phase === 'cancelled' || fork.cancelling)
  if (ended !== undefined)
    return refuse(
      order,
      new Fault('CANCELLED', `${ended.spec.forkId} was cancelled`, {
        data: { forkId: ended.spec.forkId },
      }).toBody(),
      out,
    )
  const token = known[0]?.token
  if (
    known.length === ids.length &&
    token !== undefined &&
    token !== '' &&
    known.every((fork) => fork.token === token)
  ) {
    // the same order once more: its first answer was lost
    return wait(
      state,
      order,
      known.some((fork) => fork.phase === 'preparing') ? [`prepare ${token}`] : [],
      ids,
      token,
      out,
    )
  }
  const busy = known.find((fork) => fork.phase !== 'prepared' || fork.token !== '')
  if (busy !== undefined)
    return refuse(
      order,
      new Fault('WORKER_CONFIG', `${busy.spec.forkId} was prepared by another order`).toBody(),
      out,
    )
  // what an earlier incarnation prepared is prepared again by this order: the host answers with the same
  // leases
  const fresh = `${state.incarnation}-${++state.tokens}`
  for (const spec of specs)
    state.forks.set(spec.forkId, {
      ...(state.forks.get(spec.forkId) ?? newFork(spec)),
      phase: 'preparing',
      token: fresh,
      lapseAt: at + lapseMs,
    })
  state.waiting.set(order, { left: new Set([`prepare ${fresh}`]), forks: ids, token: fresh })
  out.push({ type: 'prepare', token: fresh, specs })
}

function start(
  state: AgentState,
  order: number,
  { token, forks }: BodyOfVerb<'start'>,
  at: number,
  out: Out,
): void {
  const ids = forks.map((fork) => fork.forkId)
  const known = ids.map((id) => state.forks.get(id))
  const cancelled = known.find(
    (fork) => fork !== undefined && (fork.phase === 'cancelled' || fork.cancelling),
  )
  if (cancelled !== undefined)
    return refuse(
      order,
      new Fault('CANCELLED', `${cancelled.spec.forkId} was cancelled`, {
        data: { forkId: cancelled.spec.forkId },
      }).toBody(),
      out,
    )
  const missing = known.findIndex(
    (fork) =>
      fork === undefined ||
      fork.phase === 'preparing' ||
      (fork.phase === 'prepared' && !mayStart(fork, token, at)),
  )
  if (missing >= 0)
    return refuse(
      order,
      new Fault('EXPIRED', `${ids[missing]} is not prepared (or not any more) under this token`, {
        data: { forkId: ids[missing] },
      }).toBody(),
      out,
    )
  for (const [i, { forkId, bindings }] of forks.entries()) {
    const fork = known[i]!
    if (fork.phase !== 'prepared') continue
    fork.phase = 'starting'
    out.push({ type: 'start', forkId, bindings })
  }
  wait(
    state,
    order,
    ids.filter((id) => state.forks.get(id)!.phase === 'starting').map((id): Awaited => `start ${id}`),
    ids,
    null,
    out,
  )
}

/**
 * By this clock, not by whether the timer has come: a busy agent's timers are late. A fork without a token
 * waits for a new prepare.
 */
function mayStart(fork: Fork, token: string, at: number): boolean {
  return token !== '' && fork.token === token && at <= fork.lapseAt
}

function kill(state: AgentState, order: number, { forks }: BodyOfVerb<'kill'>, at: number, out: Out): void {
  const left: Awaited[] = []
  for (const { forkId, signal: signalName, graceMs, killedBy } of forks) {
    const fork = state.forks.get(forkId)
    if (cancelIfIdle(state, forkId, out)) left.push(`cancel ${forkId}`)
    else if (fork !== undefined) stopFork(fork, { signal: signalName, graceMs, killedBy }, at, out)
  }
  wait(
    state,
    order,
    left,
    forks.map((fork) => fork.forkId),
    null,
    out,
  )
}

function cancel(
  state: AgentState,
  order: number,
  { forks, killedBy }: BodyOfVerb<'cancel'>,
  at: number,
  out: Out,
): void {
  const left: Awaited[] = []
  for (const forkId of forks) {
    const fork = state.forks.get(forkId)
    if (cancelIfIdle(state, forkId, out)) left.push(`cancel ${forkId}`)
    else if (fork !== undefined) stopFork(fork, { signal: null, graceMs: 0, killedBy }, at, out)
  }
  wait(state, order, left, [...forks], null, out)
}

/**
 * Nothing of it runs as far as we know: the spool's tombstone makes that true for ever. @returns whether one
 * is on its way
 */
function cancelIfIdle(state: AgentState, forkId: string, out: Out): boolean {
  const fork = state.forks.get(forkId)
  if (fork !== undefined && fork.phase !== 'preparing' && fork.phase !== 'prepared') return false
  if (fork !== undefined) fork.cancelling = true
  out.push({ type: 'cancel', forkId })
  return true
}

function signal(
  state: AgentState,
  order: number,
  { forkId, signal: name, rank, to, force = false, by = 'unknown' }: BodyOfVerb<'signal'>,
  out: Out,
): void {
  const fork = state.forks.get(forkId)
  if (fork?.phase !== 'running')
    return refuse(order, new Fault('WORKER_NOT_FOUND', `${forkId} does not run here`).toBody(), out)
  const aim = rank ?? to ?? (fork.spec.torchrun === null ? 'root' : 'ranks')
  out.push({ type: 'signal-one', order, forkId, sent: { signal: name, by, to: aim }, force })
}

function release(state: AgentState, order: number, { forks }: BodyOfVerb<'release'>, out: Out): void {
  for (const forkId of forks) {
    const fork = state.forks.get(forkId)
    if (fork === undefined || (fork.phase !== 'gone' && fork.phase !== 'cancelled')) continue
    fork.released = true
    releaseIfDone(state, fork, out)
  }
  out.push({ type: 'reply', order, body: {} })
}

/** Forks in the order of their ids: one that comes or goes moves no other to a page that was read already. */
function inventory(
  state: AgentState,
  order: number,
  { from, count }: BodyOfVerb<'inventory'>,
  out: Out,
): void {
  if (from !== undefined && !isForkId(from))
    return refuse(order, noCursor(from, `the forks of node ${state.node}`).toBody(), out)
  const forks = [...state.forks.values()]
    .filter((fork) => fork.phase !== 'preparing' && fork.spec.forkId >= (from ?? ''))
    .toSorted((a, b) => (a.spec.forkId < b.spec.forkId ? -1 : 1))
  const { items, next } = fillPage(forks, reportOf, { count })
  out.push({
    type: 'reply',
    order,
    body: {
      rev: state.rev,
      pid: state.pid,
      capacity: state.capacity!,
      forks: items,
      epoch: state.epoch,
      next: next?.spec.forkId ?? null,
    },
  })
}
