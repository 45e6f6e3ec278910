/** A gang goes on by the news of its workers: it is void, it gets its addresses, or it has started. */
import { onOurClock } from './first-failure.ts'
import { addressesOf, bindingsOf, rendezvousHost } from './fork-spec.ts'
import { abortGang, dissolve } from './gangs.ts'
import { nodeFor } from './nodes.ts'
import { neverStarted } from './reports.ts'
import { live, phaseOrder } from './stages.ts'
import type { Abort, Ctx, Gang, RoleLive, Worker } from './types.ts'
import { update } from './update.ts'
import { startedAtOf, viewOf } from './worker.ts'

/** What the news of some of its workers mean for a gang; whom it concerns is looked at again. */
export function advanceGang(ctx: Ctx, gang: Gang, news: readonly Worker[]): void {
  seeStarts(ctx, gang, news)
  if (gang.abort !== null) return
  if (abortIf(ctx, gang, lostNode(ctx, gang, news))) return
  if (gang.unstarted.size === 0) return settle(ctx, gang)
  if (abortIf(ctx, gang, tooLateForPeers(ctx, gang))) return
  bindWhenPrepared(ctx, gang)
}

type Fault = Omit<Abort, 'at'>

function abortIf(ctx: Ctx, gang: Gang, fault: Fault | null): boolean {
  if (fault === null) return false
  abortGang(ctx, gang, fault)
  return true
}

/** A start that failed voids the attempt; those that have started are counted off. */
function seeStarts(ctx: Ctx, gang: Gang, news: readonly Worker[]): void {
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
        retry: execFailed || report.startFinal === true ? 'never' : 'again',
        blame: worker,
        exit: report.exit,
      })
    }
    if (phaseOrder(report) >= 3 && (report.startedAt !== null || report.exit !== null)) {
      gang.unprepared.delete(worker)
      gang.unstarted.delete(worker)
    }
  }
}

/** A node went before a worker on it was started, for certain: the attempt may begin elsewhere. */
function lostNode(ctx: Ctx, gang: Gang, news: readonly Worker[]): Fault | null {
  for (const worker of news) {
    const node = nodeFor(ctx, worker)
    const went =
      node === undefined || node.evidence || node.storeRefused || (node.state !== 'ready' && node.inventoried)
    if (went && gang.unstarted.has(worker) && neverStarted(worker))
      return {
        text: `node ${worker.record.node} went before ${worker.id} was started`,
        code: 125,
        retry: 'elsewhere',
        blame: worker,
        exit: null,
      }
  }
  return null
}

/**
 * After a failover we do not know the addresses that the previous leader sent. A worker that is prepared
 * again gets new ports, so it cannot join peers that have the old ones.
 */
function tooLateForPeers(ctx: Ctx, gang: Gang): Fault | null {
  const { role } = gang
  if (role.spec.kind !== 'torchrun' || gang.bindings !== null) return null
  if (gang.unstarted.size >= role.workers.length || !role.workers.some(hasStarted)) return null
  for (const worker of gang.unprepared)
    if (worker.report === null && nodeFor(ctx, worker)?.inventoried === true)
      return again(`${worker.id} was not prepared when its peers had started`)
  return null
}

function again(text: string, blame: Worker | null = null): Fault {
  return { text, code: 125, retry: 'again', blame, exit: null }
}

/** All are prepared: each is told the addresses of all, and started. */
function bindWhenPrepared(ctx: Ctx, gang: Gang): void {
  const { role } = gang
  if (gang.unprepared.size > 0 || role.filling === gang) return
  // every start that left was refused: nobody has the old addresses
  if (gang.bindings !== null && gang.recheck && gang.workers.every((worker) => !worker.startSent))
    gang.bindings = null
  if (!gang.recheck && gang.bindings !== null) return
  gang.recheck = false
  const text = JSON.stringify(addressesOf(role))
  if (gang.bindings !== null && gang.bindings.text !== text)
    return abortGang(ctx, gang, again(`addresses of ${role.spec.name} changed while it was started`))
  const first = rendezvousHost(role)
  if (role.spec.kind === 'torchrun' && first.report?.rendezvousPort == null)
    return abortGang(ctx, gang, again(`no rendezvous port was leased for ${first.id}`, first))
  gang.bindings ??= { text, value: bindingsOf(role) }
  for (const worker of gang.unstarted) update(ctx, worker, {})
}

function hasStarted(worker: Worker): boolean {
  return live(worker) && startedAtOf(worker) !== null
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
