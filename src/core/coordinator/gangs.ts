/**
 * Gangs: the workers of a role that are placed, prepared and started together, or not at all. A gang goes on
 * by what its agents say; nothing runs before all are prepared. Any fault voids the attempt: all of it is
 * cancelled, and the next has new ids and ports.
 */
import { type Bindings, type ForkSpec, resourcesOf, type Role } from '../../protocol/launch/resolved.ts'
import { onOurClock } from './first-failure.ts'
import { avoid } from './node-usage.ts'
import { neverStarted } from './reports.ts'
import { live, phaseOrder } from './stages.ts'
import { goOn } from './timers.ts'
import type { Abort, Ctx, Gang, NodeLive, RoleLive, Worker } from './types.ts'
import { update } from './update.ts'
import { currentFork, startedAtOf, viewOf } from './worker.ts'

function newGang(role: RoleLive, workers: Worker[]): Gang {
  return {
    role,
    workers,
    unprepared: new Set(workers),
    unstarted: new Set(workers),
    bindings: null,
    recheck: true,
    abort: null,
    gone: 0,
  }
}

/** The gang has all its workers, or will get no more. */
function endFilling(ctx: Ctx, role: RoleLive): void {
  role.filling = null
  unmarkLaunch(ctx, role)
}

function unmarkLaunch(ctx: Ctx, { run, spec }: RoleLive): void {
  const { launching } = run.record
  if (launching?.[spec.name] !== undefined)
    update(ctx, run, { record: { launching: without(launching, spec.name) } })
}

function without<T>(map: Readonly<Record<string, T>>, key: string): Record<string, T> {
  const { [key]: _, ...others } = map
  return others
}

/**
 * Decide on a new attempt of these workers, each on the node that is reserved for it: as many as a step may
 * handle. The others join the same gang in the next steps; STATE names the attempt until it has all of them.
 * The intent is in STATE before any order leaves.
 */
export function launchGang(ctx: Ctx, role: RoleLive, waiting: readonly Worker[]): void {
  const { run, spec } = role
  // an elastic role is launched at once: a worker without a place would look left out
  const most = spec.minReplicas < spec.replicas ? waiting.length : ctx.left
  if (most <= 0) return goOn(ctx, run)
  const attempt =
    run.record.launching?.[spec.name] ??
    waiting.reduce((last, worker) => Math.max(last, worker.record.attempt), 0) + 1
  const workers = waiting.slice(0, most)
  const gang = role.filling ?? newGang(role, [])
  role.gangs.add(gang)
  if (run.record.firstDoneAt !== undefined)
    update(ctx, run, { record: { firstDoneAt: without(run.record.firstDoneAt, spec.name) } })
  role.rankFailed = null
  ctx.left -= workers.length
  endFilling(ctx, role)
  if (workers.length < waiting.length) {
    role.filling = gang
    update(ctx, run, { record: { launching: { ...run.record.launching, [spec.name]: attempt } } })
    goOn(ctx, run)
  }
  for (const worker of workers) {
    gang.workers.push(worker)
    gang.unprepared.add(worker)
    gang.unstarted.add(worker)
    const node = ctx.s.nodes.get(worker.record.node!)
    update(ctx, worker, {
      record: {
        attempt,
        incarnation: node?.incarnation ?? null,
        phase: 'placed',
        ending: null,
        last: null,
      },
      gang,
      ...newAttempt(),
    })
  }
}

/** What is known of an attempt that nobody has been told of. */
function newAttempt() {
  return {
    report: null,
    rev: -1,
    token: null,
    startSent: false,
    startUnsure: false,
    order: null,
    retryAt: 0,
    tries: 0,
    killAcked: null,
    graceMs: null,
    spoolLost: false,
    judged: false,
    everReady: false,
    releasable: false,
    lostTold: false,
  }
}

/**
 * After a failover: what is placed and was not seen started goes on as one gang, as its agents' inventories
 * will say.
 */
export function recoverGang(role: RoleLive): void {
  const workers = role.workers.filter(
    (worker) => live(worker) && worker.record.ending === null && startedAtOf(worker) === null,
  )
  const filling = role.run.record.launching?.[role.spec.name] !== undefined
  if (workers.length === 0 && !filling) return
  const gang = newGang(role, workers)
  if (filling) role.filling = gang
  for (const worker of workers) worker.gang = gang
  role.gangs.add(gang)
}

export function dissolve(ctx: Ctx, gang: Gang): void {
  gang.role.gangs.delete(gang)
  if (gang.role.filling === gang) endFilling(ctx, gang.role)
  for (const worker of gang.workers) if (worker.gang === gang) worker.gang = null
}

function nodeFor(ctx: Ctx, worker: Worker): NodeLive | undefined {
  return worker.record.node === null ? undefined : ctx.s.nodes.get(worker.record.node)
}

/** May orders be sent there now, and is it known what it has? */
export function isReachable(node: NodeLive | undefined): node is NodeLive & { incarnation: string } {
  return (
    node !== undefined &&
    node.incarnation !== null &&
    node.inventoried &&
    !node.evidence &&
    node.state !== 'lost'
  )
}

export function abortGang(ctx: Ctx, gang: Gang, abort: Omit<Abort, 'at'>): void {
  if (gang.abort !== null) return
  gang.abort = { ...abort, at: ctx.wall }
  // the others stay where they are until all of the attempt is over
  if (gang.role.filling === gang) unmarkLaunch(ctx, gang.role)
  if (abort.blame !== null) {
    const node = nodeFor(ctx, abort.blame)
    if (node !== undefined) avoid(ctx, node, ctx.now + 30_000)
  }
  for (const worker of gang.workers) {
    if (!live(worker)) continue
    update(ctx, worker, { record: { ending: worker.record.ending ?? { by: 'attempt' } }, retryAt: 0 })
  }
}

/** What the news of some of its workers mean for a gang; whom it concerns is looked at again. */
export function advanceGang(ctx: Ctx, gang: Gang, news: readonly Worker[]): void {
  const { role } = gang
  for (const worker of news) {
    const { report } = worker
    if (report === null || !gang.unstarted.has(worker)) continue
    // how its exec failed is told with its exit, in a moment
    if (report.startFault !== null && report.exit === null && phaseOrder(report) < 6) continue
    if (report.startFault !== null && gang.abort === null) {
      const execFailed = report.exit?.code === 126 || report.exit?.code === 127
      return abortGang(ctx, gang, {
        text: `${worker.id} could not be started: ${report.startFault}`,
        code: execFailed ? report.exit!.code! : 125,
        retry: execFailed ? 'never' : 'again',
        blame: worker,
        exit: report.exit,
      })
    }
    if (phaseOrder(report) >= 3 && (report.startedAt !== null || report.exit !== null)) {
      gang.unprepared.delete(worker)
      gang.unstarted.delete(worker)
    }
  }
  if (gang.abort !== null) return
  for (const worker of news) {
    const node = nodeFor(ctx, worker)
    const went =
      node === undefined || node.evidence || node.storeRefused || (node.state !== 'ready' && node.inventoried)
    if (went && gang.unstarted.has(worker) && neverStarted(worker))
      return abortGang(ctx, gang, {
        text: `node ${worker.record.node} went before ${worker.id} was started`,
        code: 125,
        retry: 'elsewhere',
        blame: worker,
        exit: null,
      })
  }
  if (gang.unstarted.size === 0) return settle(ctx, gang)
  if (
    role.spec.kind === 'torchrun' &&
    gang.bindings === null &&
    gang.unstarted.size < role.workers.length &&
    role.workers.some((worker) => hasStarted(worker))
  ) {
    // this leader did not hand out the addresses: who lost its leases meanwhile cannot join those who have
    // them
    for (const worker of gang.unprepared)
      if (worker.report === null && nodeFor(ctx, worker)?.inventoried === true)
        return abortGang(ctx, gang, {
          text: `${worker.id} was not prepared when its peers had started`,
          code: 125,
          retry: 'again',
          blame: null,
          exit: null,
        })
  }
  if (gang.unprepared.size > 0 || role.filling === gang) return
  // every start that left was refused: nobody has the old addresses
  if (gang.bindings !== null && gang.recheck && gang.workers.every((worker) => !worker.startSent))
    gang.bindings = null
  if (!gang.recheck && gang.bindings !== null) return
  gang.recheck = false
  const text = JSON.stringify(addressesOf(role))
  if (gang.bindings !== null && gang.bindings.text !== text)
    return abortGang(ctx, gang, {
      text: `addresses of ${role.spec.name} changed while it was started`,
      code: 125,
      retry: 'again',
      blame: null,
      exit: null,
    })
  if (role.spec.kind === 'torchrun' && role.workers[0]!.report?.rendezvousPort == null)
    return abortGang(ctx, gang, {
      text: `no rendezvous port was leased for ${role.workers[0]!.id}`,
      code: 125,
      retry: 'again',
      blame: role.workers[0]!,
      exit: null,
    })
  gang.bindings ??= { text, value: bindingsOf(role) }
  for (const worker of gang.unstarted) update(ctx, worker, {})
}

function hasStarted(worker: Worker): boolean {
  return live(worker) && startedAtOf(worker) !== null
}

export function isAborted(gang: Gang): boolean {
  if (gang.abort === null) return false
  // those before it are over, and stay so
  while (gang.gone < gang.workers.length && !live(gang.workers[gang.gone]!)) gang.gone++
  return gang.gone === gang.workers.length
}

function settle(ctx: Ctx, gang: Gang): void {
  const { role } = gang
  role.launchTries = 0
  role.busy = null
  const times = gang.workers
    .map((worker) => {
      const { startedAt } = viewOf(worker)
      if (startedAt === null) return null
      const { lo, hi } = onOurClock(nodeFor(ctx, worker), startedAt, ctx.wall)
      return Number.isFinite(lo) ? (lo + hi) / 2 : startedAt
    })
    .filter((at) => at !== null)
  if (times.length === gang.workers.length && times.length > 0 && gang.workers.length === role.workers.length)
    noteSkew(ctx, role, times)
  dissolve(ctx, gang)
}

function noteSkew(ctx: Ctx, { run, spec }: RoleLive, times: readonly number[]): void {
  const skewMs = Math.max(0, Math.round(Math.max(...times) - Math.min(...times)))
  update(ctx, run, { record: { startSkewMs: { ...run.record.startSkewMs, [spec.name]: skewMs } } })
}

interface Addresses {
  addr: string | null
  addrs: string[]
}

function addressesOf(role: RoleLive): { own: Addresses; rendezvous: Bindings['rendezvous'] } {
  const first = role.workers[0]!.report
  return {
    own: rolesAddresses(role),
    rendezvous:
      role.spec.kind === 'torchrun' && first?.host != null && first.rendezvousPort !== null
        ? { host: first.host, port: first.rendezvousPort }
        : null,
  }
}

function rolesAddresses(role: RoleLive): Addresses {
  const addrs = role.workers.map((worker) => viewOf(worker).addr)
  return { addr: addrs[0] ?? null, addrs: addrs.filter((addr) => addr !== null) }
}

/**
 * Beyond so many workers a role's own addresses are told only to a role that names them: each would be told
 * all of them.
 */
const OWN_ADDRS_MAX = 256

/** What only the whole gang knows; the same object for each of its workers. */
function bindingsOf(role: RoleLive): Bindings {
  const { own, rendezvous } = addressesOf(role)
  const few =
    role.workers.length <= OWN_ADDRS_MAX ||
    JSON.stringify(sharedSpecOf(role)).includes(`roles.${role.spec.name}.addrs`)
  const roles: Bindings['roles'] = { [role.spec.name]: few ? own : { ...own, addrs: [] } }
  for (const { role: on } of role.spec.dependsOn) {
    const other = role.run.byRole.get(on)
    if (other !== undefined) roles[on] = rolesAddresses(other)
  }
  return { roles, rendezvous }
}

type SharedSpec = Omit<
  ForkSpec,
  'forkId' | 'run' | 'role' | 'index' | 'attempt' | 'user' | 'resources' | 'torchrun'
>
const sharedSpecs = new WeakMap<Role, SharedSpec>()

/** What all workers of a role have in common: made once, not for each of thousands. */
function sharedSpecOf({ run, spec }: RoleLive): SharedSpec {
  let shared = sharedSpecs.get(spec)
  if (shared === undefined) {
    const {
      name: _a,
      replicas: _b,
      minReplicas: _c,
      resources: _d,
      dependsOn: _e,
      restart: _f,
      nodelist: _g,
      exclude: _h,
      failFast: _i,
      ...rest
    } = spec
    shared = { ...rest, env: { ...run.spec.env, ...spec.env } }
    sharedSpecs.set(spec, shared)
  }
  return shared
}

export function forkSpecOf(worker: Worker): ForkSpec {
  const { role, record, run } = worker
  const { name, replicas, minReplicas, kind, nproc } = role.spec
  return {
    ...sharedSpecOf(role),
    forkId: currentFork(worker),
    run: run.record.run,
    role: name,
    index: record.index,
    attempt: record.attempt,
    user: run.record.user,
    resources: resourcesOf(role.spec, record.index),
    torchrun:
      kind === 'torchrun'
        ? {
            nnodes: minReplicas < replicas ? `${minReplicas}:${replicas}` : String(replicas),
            nodeRank: record.index,
            nproc,
            hostsRendezvous: record.index === 0,
          }
        : null,
  }
}
