/**
 * What people ask: stop, kill, signal, and everything that only reads. Each request is answered once, in the
 * step that hears it or when its one order is answered.
 */
import { byUser } from '../../protocol/causes.ts'
import { Fault } from '../../protocol/faults.ts'
import { nearest, parseForkId } from '../../protocol/names.ts'
import { isTerminal } from '../../protocol/shapes.ts'
import { keyIdOf, onLaunch } from './accept.ts'
import { GONE, lostExit } from './ends.ts'
import { nodeEvent } from './events.ts'
import { explainRun } from './explain.ts'
import { isReachable } from './gangs.ts'
import { isKnown, list, nodesPage, planPage } from './lists.ts'
import type { ReplyBody, RequestOf } from './messages.ts'
import { noteUsage } from './node-usage.ts'
import { endWorker } from './reports.ts'
import { live } from './stages.ts'
import { statusPage } from './status.ts'
import { cancelRun, endingOf } from './stop.ts'
import type { Ctx, NodeLive, Run, Worker } from './types.ts'
import { update } from './update.ts'
import { currentFork, exitOf, startedAtOf } from './worker.ts'

export function onRequest(ctx: Ctx, request: RequestOf): void {
  try {
    answer(ctx, request)
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    ctx.out.push({ kind: 'refuse', request: request.id, fault: error.toBody() })
  }
}

function reply(ctx: Ctx, request: RequestOf, body: ReplyBody): void {
  return void ctx.out.push({ kind: 'reply', request: request.id, body })
}

function answer(ctx: Ctx, request: RequestOf): void {
  const { s } = ctx
  switch (request.verb) {
    case 'launch':
      return onLaunch(ctx, request)
    case 'plan':
      return void ctx.out.push({
        kind: 'reply-plan',
        request: request.id,
        body: planPage(ctx, request.body),
      })
    case 'stop':
      return stop(ctx, request, false)
    case 'kill':
      return stop(ctx, request, true)
    case 'signal':
      return signal(ctx, request)
    case 'status':
      return status(ctx, request)
    case 'list':
      return list(ctx, request)
    case 'explain': {
      const { run, workers } = target(ctx, request.body)
      const few = new Set(
        workers.length > 50
          ? workers.filter((worker) => live(worker) && !worker.everReady).slice(0, 50)
          : workers,
      )
      return reply(ctx, request, { lines: explainRun(ctx, run, (worker) => few.has(worker)) })
    }
    case 'nodes':
      return reply(ctx, request, nodesPage(ctx, request.body))
    case 'answer': {
      const record = s.keys.get(keyIdOf(request.user, request.body.key))
      if (record === undefined)
        throw new Fault(
          'WORKER_NOT_FOUND',
          `no launch of ${request.user} with key '${request.body.key}' has been answered`,
        )
      return reply(ctx, request, { run: record.run, fault: record.fault })
    }
    case 'adopt': {
      const node = theNode(ctx, request.body.node)
      if (node.incarnation === null) throw new Fault('CONN', `node ${node.name} has not been heard`)
      const id = ++s.counter
      s.orders.set(id, { verb: 'adopt', request: request.id, node })
      return void ctx.out.push({
        kind: 'order',
        order: {
          id,
          node: node.name,
          incarnation: node.incarnation,
          verb: 'adopt',
          body: { storeId: s.storeId },
          timeoutMs: 800,
        },
      })
    }
    case 'drain': {
      const { node: name, on } = request.body
      const node = s.drains.has(name) ? s.nodes.get(name) : theNode(ctx, name)
      if (s.drains.has(name) !== on) {
        if (on) s.drains.add(name)
        else s.drains.delete(name)
        ctx.ops.push({ op: 'drain', node: name, on })
        if (on && node !== undefined) nodeEvent(ctx, node, 'draining', `by ${request.user}`)
        if (node !== undefined) noteUsage(ctx, node)
      }
      return reply(ctx, request, {})
    }
    default:
      return request satisfies never
  }
}

function status(ctx: Ctx, request: RequestOf<'status'>): void {
  const { run, role, index } = request.body
  if (index !== undefined && role === undefined)
    throw new Fault('REQUEST_INVALID', `worker ${index} of which role? An index needs its role`)
  if (ctx.s.runs.has(run)) {
    const aimedAt = target(ctx, request.body)
    return reply(ctx, request, statusPage(ctx, aimedAt.run, aimedAt.workers, request.body))
  }
  ctx.out.push({
    kind: 'reply-from-archive',
    verb: 'status',
    request: request.id,
    query: request.body,
    fault: noRun(ctx, run).toBody(),
  })
}

function theNode(ctx: Ctx, name: string): NodeLive {
  const node = ctx.s.nodes.get(name)
  if (node !== undefined && isKnown(node)) return node
  const near = nearest(name, ctx.s.nodes.keys())
  throw new Fault('NODE_NOT_FOUND', `no node '${name}'${near === null ? '' : `; did you mean ${near}?`}`)
}

function noRun(ctx: Ctx, run: string): Fault {
  // the state was lost, and its workers run on
  const nodes = [...ctx.s.nodes.values()]
    .filter((node) => [...node.unowned.keys()].some((forkId) => parseForkId(forkId)?.run === run))
    .map((node) => node.name)
  if (nodes.length > 0)
    return new Fault(
      'WORKER_NOT_FOUND',
      `no run '${run}' is in the state log, which was lost; workers of it run on, unowned, on ${nodes.join(', ')}`,
      {
        data: { run, nodes, reason: 'lost' },
        hint: 'troupe nodes lists them; troupe down ends them with the fleet',
      },
    )
  const near = nearest(run, ctx.s.runs.keys())
  const lost = ctx.s.historyLost
  const hint = lost !== null ? `; history was lost: ${lost}` : near !== null ? `; did you mean ${near}?` : ''
  return new Fault('WORKER_NOT_FOUND', `no run '${run}'${hint}`, {
    data: { run, ...(lost !== null && { reason: 'lost' }) },
  })
}

function target(
  ctx: Ctx,
  { run: id, role: roleName, index }: { run: string; role?: string; index?: number },
): { run: Run; workers: Worker[] } {
  const run = ctx.s.runs.get(id)
  if (run === undefined) throw noRun(ctx, id)
  if (roleName === undefined) return { run, workers: run.workers }
  const role = run.byRole.get(roleName)
  if (role === undefined)
    throw new Fault(
      'WORKER_NOT_FOUND',
      `run ${id} has no role '${roleName}'; it has ${run.roles.map((one) => one.spec.name).join(', ')}`,
    )
  if (index === undefined) return { run, workers: role.workers }
  const worker = role.workers[index]
  if (worker === undefined)
    throw new Fault(
      'WORKER_NOT_FOUND',
      `role ${roleName} of ${id} has ${role.workers.length} workers, the last is ${roleName}/${role.workers.length - 1}; not ${roleName}/${index}`,
    )
  return { run, workers: [worker] }
}

/** torchrun's workers live and end together: its peers would wait for one that was stopped. */
function withPeers(workers: Worker[]): Worker[] {
  return workers.length === 1 && workers[0]!.role.spec.kind === 'torchrun'
    ? workers[0]!.role.workers
    : workers
}

function stop(ctx: Ctx, request: RequestOf<'stop' | 'kill'>, kill: boolean): void {
  const { body, user } = request
  const { run, workers: aimedAt } = target(ctx, body)
  const workers = withPeers(aimedAt)
  const { record } = run
  const concerned = workers.filter(
    (worker) => live(worker) || (record.stopping === null && worker.record.phase === 'waiting'),
  )
  if (isTerminal(record.state)) return reply(ctx, request, { workers: [] })
  if (body.role === undefined) {
    if (record.stopping === null || record.stopping.why === 'restart') cancelRun(ctx, run, byUser(user), kill)
    else if (kill && !record.stopping.kill) {
      update(ctx, run, { record: { stopping: { ...record.stopping, kill: true } } })
    }
  } else if (record.stopping === null || kill) {
    for (const worker of workers) {
      if (live(worker)) endingOf(ctx, worker, byUser(user), kill ? 0 : null)
      else if (worker.record.phase === 'waiting' && record.stopping === null) {
        update(ctx, worker, { record: { ending: byUser(user), last: null } })
        endWorker(ctx, worker, null, { ...GONE, reason: 'it was never started' })
      }
    }
  }
  if (body.force === true) for (const worker of workers) forceEnd(ctx, worker, user)
  update(ctx, run, {})
  reply(ctx, request, { workers: concerned.map((worker) => worker.id) })
}

/**
 * Its node cannot be asked: it counts as ended without proof, and is ended for good when its node is heard
 * again.
 */
function forceEnd(ctx: Ctx, worker: Worker, user: string): void {
  if (!live(worker) || isReachable(ctx.s.nodes.get(worker.record.node!))) return
  const forkId = currentFork(worker)
  ctx.s.fenced.set(forkId, worker.record.node!)
  ctx.ops.push({ op: 'fenced', forkId, node: worker.record.node! })
  update(ctx, worker, { record: { ending: worker.record.ending ?? byUser(user) } })
  endWorker(
    ctx,
    worker,
    exitOf(worker) ?? {
      ...lostExit(`node ${worker.record.node} is silent; ended by force`),
      killedBy: byUser(user),
    },
    {
      outcome: 'unverified',
      survivors: [],
      reason: `node ${worker.record.node} could not be asked`,
      ms: 0,
    },
  )
}

function signal(ctx: Ctx, request: RequestOf<'signal'>): void {
  const { body } = request
  const found = target(ctx, body)
  let { workers } = found
  if (body.rank !== undefined) {
    const { rank } = body
    workers = workers.filter(
      (worker) =>
        worker.role.spec.kind === 'torchrun' &&
        (worker.report?.ranks.some((one) => one.rank === rank) ?? false),
    )
    if (workers.length === 0)
      throw new Fault(
        'WORKER_NOT_FOUND',
        `no rank ${rank} of ${body.run}${body.role === undefined ? '' : `/${body.role}`} runs`,
      )
  }
  const told: string[] = []
  for (const worker of workers) {
    const node = worker.record.node === null ? undefined : ctx.s.nodes.get(worker.record.node)
    if (!live(worker) || exitOf(worker) !== null || startedAtOf(worker) === null || !isReachable(node))
      continue
    const id = ++ctx.s.counter
    ctx.s.orders.set(id, { verb: 'signal' })
    ctx.out.push({
      kind: 'order',
      order: {
        id,
        node: node.name,
        incarnation: node.incarnation,
        verb: 'signal',
        body: { forkId: currentFork(worker), signal: body.signal, rank: body.rank ?? null },
        timeoutMs: 1000,
      },
    })
    told.push(worker.id)
  }
  reply(ctx, request, { workers: told })
}
