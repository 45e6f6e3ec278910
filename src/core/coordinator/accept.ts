/**
 * Launches: by request and by the durable door, once for each key. What is answered is in STATE before the
 * answer leaves; a refused document leaves no run.
 */
import { KEY_CHARS_MAX } from '../../protocol/bounds.ts'
import { Fault, type FaultBody, toFault } from '../../protocol/faults.ts'
import { resolveLaunch, runIdOf, specHash } from '../../protocol/launch/document.ts'
import type { Launch } from '../../protocol/launch/resolved.ts'
import { checkPlan } from './check-plan.ts'
import { acceptedId, rejectedEvent, tellAccepted } from './events.ts'
import { keyConflict } from './key-conflict.ts'
import type { QueuedLaunch, RequestOf } from './messages.ts'
import { newRun, rolesOf } from './new-run.ts'
import { placesOf } from './node-usage.ts'
import { specOps } from './spec-parts.ts'
import type { Ctx, Run } from './types.ts'
import { update } from './update.ts'

type Answer = { run: string; existing: boolean; fault: null } | { run: null; fault: FaultBody }

export function keyIdOf(user: string, key: string): string {
  return `${user}/${key}`
}

/** @throws {Fault} SPEC_INVALID, PLAN_INVALID */
export function resolveAndCheck(ctx: Ctx, document: unknown): Launch {
  const launch = resolveLaunch(document)
  checkFleet(ctx, launch)
  checkPlan(launch, placesOf(ctx))
  return launch
}

/** @throws {Fault} PLAN_INVALID when the fleet would have more live workers than it may */
function checkFleet({ s }: Ctx, launch: Launch): void {
  const asked = launch.roles.reduce((sum, role) => sum + role.replicas, 0)
  const live = s.liveWorkers
  const most = s.settings.fleetWorkersMax
  if (live + asked <= most) return
  throw new Fault(
    'PLAN_INVALID',
    `${asked} workers beside ${live} that have not ended; a fleet has at most ${most}`,
    { data: { resource: 'workers', asked, live, largest: most }, hint: 'what runs: troupe ps' },
  )
}

/** A key is part of records and events: one that is too long is refused, and leaves no record. */
function keyFault(key: string): FaultBody | null {
  return key.length <= KEY_CHARS_MAX
    ? null
    : new Fault('REQUEST_INVALID', `a key of ${key.length} characters; at most ${KEY_CHARS_MAX}`).toBody()
}

function answer(
  ctx: Ctx,
  options: { user: string; given: string; document: Record<string, unknown>; since: number; queued: boolean },
): Answer {
  const { user, given, document, since } = options
  const { s } = ctx
  const refused = keyFault(given)
  if (refused !== null) return { run: null, fault: refused }
  const id = keyIdOf(user, given)
  const hash = specHash(document)
  const before = s.keys.get(id)
  if (before !== undefined) {
    if (before.hash !== hash)
      return {
        run: null,
        fault: keyConflict(given, before.run, document, s.runs.get(before.run ?? '')?.spec).toBody(),
      }
    return before.run === null
      ? { run: null, fault: before.fault as unknown as FaultBody }
      : { run: before.run, existing: true, fault: null }
  }
  const note = (run: string | null, fault: FaultBody | null): void => {
    const record = { key: id, hash, run, fault: fault === null ? null : { ...fault }, at: ctx.wall }
    s.keys.set(id, record)
    ctx.lateOps.push({ op: 'key', key: record })
  }
  try {
    const name = document['name']
    // its key's record did not land or is older than keys are kept: it is the same launch all the same
    const existing = typeof name === 'string' && s.runs.has(runIdOf(name, id))
    const launch = existing ? resolveLaunch(document) : resolveAndCheck(ctx, document)
    const run = runIdOf(launch.name, id)
    if (!existing) accept(ctx, { run, launch, user, key: given, since })
    note(run, null)
    return { run, existing, fault: null }
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    const fault = toFault(error).toBody()
    note(null, fault)
    const name = typeof document['name'] === 'string' ? document['name'] : 'unnamed'
    if (!options.queued) rejectedEvent(ctx, { name, user, key: given, fault, id: runIdOf('rejected', id) })
    return { run: null, fault }
  }
}

function accept(
  ctx: Ctx,
  {
    run: id,
    launch,
    user,
    key,
    since,
  }: { run: string; launch: Launch; user: string; key: string; since: number },
): void {
  const { s } = ctx
  const at = Math.min(Math.round(since), ctx.wall)
  const roles = rolesOf(launch)
  const run: Run = newRun(
    {
      run: id,
      name: launch.name,
      user,
      key,
      acceptedAt: at,
      endedAt: null,
      state: 'pending',
      reason: null,
      code: null,
      stopping: null,
      firstFailure: null,
      clocks: { queuedMs: 0, startMs: 0, runMs: 0, since: at },
      restarts: [],
      backoffUntil: {},
      roleReadyAt: {},
      startSkewMs: {},
    },
    launch,
    roles,
    () => undefined,
  )
  s.runs.set(id, run)
  s.lastLiveAt = ctx.now
  ctx.ops.push(...specOps(id, launch))
  for (const role of roles) ctx.ops.push({ op: 'role', run: id, role })
  // nothing of it is in STATE yet
  update(ctx, run, { record: {} })
  tellAccepted(ctx, run)
}

/** Who gave no key is given one, in the event that tells the outcome: it is remembered as any other. */
export function onLaunch(ctx: Ctx, request: RequestOf<'launch'>): void {
  const given = request.key ?? `${ctx.s.incarnation}.${++ctx.s.counter}`
  const result = answer(ctx, {
    user: request.user,
    given,
    document: request.body,
    since: ctx.wall,
    queued: false,
  })
  ctx.out.push(
    result.fault === null
      ? { kind: 'reply', request: request.id, body: { run: result.run, existing: result.existing } }
      : { kind: 'refuse', request: request.id, fault: result.fault },
  )
}

/** The queue keeps it until the record of its answer is in STATE. */
export function onQueuedLaunch(ctx: Ctx, queued: QueuedLaunch): void {
  const given = queued.key ?? String(queued.seq)
  if (queued.body === null && keyFault(given) === null) {
    const id = keyIdOf(queued.user, given)
    ctx.s.keys.set(id, { key: id, hash: '', run: null, fault: { ...queued.fault! }, at: ctx.wall })
    ctx.lateOps.push({ op: 'key', key: ctx.s.keys.get(id)! })
    return answered(ctx, queued, given, { run: null, fault: queued.fault! })
  }
  answered(
    ctx,
    queued,
    given,
    answer(ctx, {
      user: queued.user,
      given,
      document: queued.body ?? {},
      since: queued.storedAt,
      queued: true,
    }),
  )
}

/**
 * The outcome is told each time: whoever answered it first may have died before it did. The same event again
 * is dropped by its id.
 */
function answered(ctx: Ctx, { user, body, seq }: QueuedLaunch, key: string, result: Answer): void {
  if (result.run !== null) {
    const run = ctx.s.runs.get(result.run)
    if (result.existing && run !== undefined) tellAccepted(ctx, run)
    return void ctx.out.push({
      kind: 'answer-queued',
      seq,
      run: result.run,
      fault: null,
      told: acceptedId(result.run),
    })
  }
  const name = typeof body?.['name'] === 'string' ? body['name'] : 'unnamed'
  // a conflict is an outcome of its own: the key's record is another launch's
  const refusal = runIdOf('rejected', keyIdOf(user, key))
  const id = result.fault.code === 'KEY_CONFLICT' ? `queued.${seq}.conflict.${refusal}` : refusal
  rejectedEvent(ctx, { name, user, key, fault: result.fault, id })
  ctx.out.push({ kind: 'answer-queued', seq, run: null, fault: result.fault, told: id })
}

/** Keys are forgotten after 48 h; once a minute is often enough. */
export function forgetKeys(ctx: Ctx): void {
  for (const [id, record] of ctx.s.keys) {
    if (ctx.wall - record.at < ctx.s.settings.keyKeptMs) continue
    ctx.s.keys.delete(id)
    ctx.ops.push({ op: 'drop-key', key: id })
  }
}
