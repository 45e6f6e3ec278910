/**
 * What people ask: stop, kill, signal, and everything that only reads. Each request is answered once, in the
 * step that hears it or when its one order is answered.
 */
import { Fault } from '../../protocol/faults.ts'
import { keyIdOf, onLaunch } from './accept.ts'
import { explainRun } from './explain.ts'
import { list, nodesPage, planPage } from './lists.ts'
import type { RequestOf } from './messages.ts'
import { adopt, drain } from './node-requests.ts'
import { reply } from './reply.ts'
import { signal } from './signal-request.ts'
import { live } from './stages.ts'
import { statusPage } from './status.ts'
import { stop } from './stop-request.ts'
import { noOwnRun, noRun, target } from './targets.ts'
import type { Ctx } from './types.ts'

export function onRequest(ctx: Ctx, request: RequestOf): void {
  try {
    answer(ctx, request)
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    ctx.out.push({ kind: 'refuse', request: request.id, fault: error.toBody() })
  }
}

function answer(ctx: Ctx, request: RequestOf): void {
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
    case 'explain':
      return explain(ctx, request)
    case 'nodes':
      return reply(ctx, request, nodesPage(ctx, request.body))
    case 'answer':
      return pastAnswer(ctx, request)
    case 'adopt':
      return adopt(ctx, request)
    case 'drain':
      return drain(ctx, request)
    default:
      return request satisfies never
  }
}

/** Of a large run the workers that are not ready, and of them a few. */
const EXPLAINED_MAX = 50

function explain(ctx: Ctx, request: RequestOf<'explain'>): void {
  const { run, workers } = target(ctx, request.body)
  const few = new Set(
    workers.length > EXPLAINED_MAX
      ? workers.filter((worker) => live(worker) && !worker.everReady).slice(0, EXPLAINED_MAX)
      : workers,
  )
  reply(ctx, request, { lines: explainRun(ctx, run, (worker) => few.has(worker)) })
}

/** What a launch with this key was answered. */
function pastAnswer(ctx: Ctx, request: RequestOf<'answer'>): void {
  const { key } = request.body
  const record = ctx.s.keys.get(keyIdOf(request.user, key))
  if (record === undefined)
    throw new Fault('WORKER_NOT_FOUND', `no launch of ${request.user} with key '${key}' has been answered`)
  reply(ctx, request, { run: record.run, fault: record.fault })
}

function status(ctx: Ctx, request: RequestOf<'status'>): void {
  const { run, role, index } = request.body
  if (index !== undefined && role === undefined)
    throw new Fault('REQUEST_INVALID', `worker ${index} of which role? An index needs its role`)
  if (ctx.s.runs.has(run)) {
    const aimedAt = target(ctx, request.body)
    const { help, ...page } = statusPage(ctx, aimedAt.run, aimedAt.workers, request.body)
    return reply(ctx, request, { ...page, ...(help !== undefined && request.own !== true && { help }) })
  }
  ctx.out.push({
    kind: 'reply-from-archive',
    verb: 'status',
    request: request.id,
    query: request.body,
    fault: (request.own === true ? noOwnRun(run) : noRun(ctx, run)).toBody(),
  })
}
