/**
 * Which point a run, role or worker has passed, and the code it ends with. Pure: over one status. What only
 * the past can tell (it was ready once, and has ended since) is told by `Passed`, filled from events in
 * wait.ts.
 */
import { isBy } from '../protocol/causes.ts'
import { Fault } from '../protocol/faults.ts'
import { isTerminal, type RunStatus, type WorkerStatus } from '../protocol/shapes.ts'
import { exitCodeOf, TROUPE_FAILED } from '../protocol/signals.ts'
import { refFits, refText, type Ref } from './refs.ts'

export const POINTS = ['running', 'ready', 'done'] as const
export type Point = (typeof POINTS)[number]

/** Facts of the past that a status does not show any more. */
export interface Passed {
  /** the run was running once */
  running: boolean
  /** fork ids that were ready once */
  ready: ReadonlySet<string>
}

/**
 * @throws {Fault} WORKER_NOT_FOUND: the run has no such role, worker or rank. Ranks that are not known yet
 * are believed
 */
export function checkRef(status: RunStatus, ref: Ref): void {
  if (ref.role === undefined) return
  const role = status.roles.find((known) => known.role === ref.role)
  if (role === undefined)
    throw new Fault('WORKER_NOT_FOUND', `run ${ref.run} has no role '${ref.role}'`, {
      hint: `it has ${status.roles.map((known) => known.role).join(', ')}`,
    })
  const missing = ref.indices?.find(
    (index) => !status.workers.some((worker) => worker.role === ref.role && worker.index === index),
  )
  if (missing !== undefined)
    throw new Fault('WORKER_NOT_FOUND', `there is no worker ${ref.run}/${ref.role}/${missing}`, {
      hint: `which there are: troupe status ${ref.run}`,
    })
  if (ref.ranks === undefined) return
  if (role.kind !== 'torchrun')
    throw new Fault('WORKER_NOT_FOUND', `role ${ref.role} of ${ref.run} is a ${role.kind}: it has no ranks`, {
      hint: `a worker is written ${ref.run}/${ref.role}/${ref.ranks[0]}`,
    })
  const workers = status.workers.filter((worker) => worker.role === ref.role)
  const asked = workers.filter((worker) => refFits(ref, worker))
  const has = (worker: WorkerStatus, rank: number): boolean => worker.ranks.some((one) => one.rank === rank)
  const none = asked.every((worker) => worker.ranks.length > 0)
    ? ref.ranks.find((rank) => !asked.some((worker) => has(worker, rank)))
    : undefined
  if (none === undefined) return
  const where = `there is no rank ${none} in ${refText({ ...ref, ranks: undefined })}`
  const owner = workers.find((worker) => has(worker, none))
  if (owner !== undefined)
    throw new Fault('WORKER_NOT_FOUND', where, { hint: `it is one of ${owner.worker}` })
  throw new Fault(
    'WORKER_NOT_FOUND',
    `${where}; the last is ${Math.max(...workers.flatMap((worker) => worker.ranks.map(({ rank }) => rank)))}`,
  )
}

/** Workers of a ref in a status; ranks are their worker's. */
function workersOf(status: RunStatus, ref: Ref): WorkerStatus[] {
  return status.workers.filter(
    (worker) =>
      refFits(ref, worker) &&
      (ref.ranks === undefined ||
        worker.ranks.length === 0 ||
        worker.ranks.some((r) => ref.ranks!.includes(r.rank))),
  )
}

function isWhole(ref: Ref): boolean {
  return ref.role === undefined
}
function hasStarted(worker: WorkerStatus): boolean {
  return worker.startedAt !== null || ['running', 'stopping', 'exited'].includes(worker.state)
}
/** A worker that has done its work was ready for it. */
function wasReady(worker: WorkerStatus, passed: Passed): boolean {
  return worker.ready || passed.ready.has(worker.forkId) || endedWell(worker)
}

/**
 * Does the point hold now, while the run goes on? A worker that has ended with 0 is not waited for.
 *
 * @returns null when the page of workers does not tell
 */
export function holds(point: Point, status: RunStatus, ref: Ref): boolean | null {
  if (isTerminal(status.state)) return false
  if (point === 'done') return hasEnded(status, ref)
  if (point === 'running' && isWhole(ref)) return status.state === 'running'
  const counted = point === 'ready' ? 'ready' : 'started'
  const roles = rolesOf(status, ref)
  if (isCounted(ref)) {
    if (roles.every((role) => role[counted] === role.workers)) return true
    if (roles.some((role) => role[counted] + role.ended < role.workers)) return false
    if (!isComplete(status, ref)) return null
  }
  const workers = workersOf(status, ref)
  return (
    workers.length > 0 &&
    workers.every((worker) => (point === 'ready' ? worker.ready || endedWell(worker) : hasStarted(worker)))
  )
}

function endedWell({ state, exit }: WorkerStatus): boolean {
  return state === 'exited' && exit?.code === 0
}

/** Was the point reached once? */
export function hasPassed(point: Point, status: RunStatus, ref: Ref, passed: Passed): boolean {
  if (point === 'done') return hasEnded(status, ref)
  if (point === 'running' && isWhole(ref))
    return status.state === 'running' || status.state === 'succeeded' || passed.running
  const roles = rolesOf(status, ref)
  const counted = point === 'ready' ? 'wasReady' : 'started'
  if (isCounted(ref) && roles.every((role) => role[counted] === role.workers)) return true
  const workers = workersOf(status, ref)
  if (workers.length === 0 || !isComplete(status, ref)) return false
  return workers.every((worker) => (point === 'ready' ? wasReady(worker, passed) : hasStarted(worker)))
}

/** Its workers are counted in the head of a status, of which the workers may be a page. */
function isCounted(ref: Ref): boolean {
  return ref.indices === undefined && ref.ranks === undefined
}
function rolesOf(status: RunStatus, ref: Ref): RunStatus['roles'] {
  return status.roles.filter(({ role }) => ref.role === undefined || ref.role === role)
}
/** Are all workers of the ref there, or one page of them? */
export function isComplete(status: RunStatus, ref: Ref): boolean {
  const workers = rolesOf(status, ref).reduce((sum, role) => sum + role.workers, 0)
  return !isCounted(ref) || workersOf(status, ref).length === workers
}

/** Nothing of its workers runs, and for each there is a receipt or nothing to prove. */
export function areOver(status: RunStatus, ref: Ref): boolean {
  if (isTerminal(status.state)) return true
  if (isCounted(ref))
    return !isWhole(ref) && rolesOf(status, ref).every((role) => role.ended === role.workers)
  return workersOf(status, ref).every(
    ({ state, receipt, startedAt }) => state === 'exited' && (receipt !== null || startedAt === null),
  )
}

/** Nothing more comes: the run has ended, or each of the workers has and is not to be started again. */
export function hasEnded(status: RunStatus, ref: Ref): boolean {
  if (isTerminal(status.state)) return true
  if (isWhole(ref) || status.state === 'pending') return false
  if (isCounted(ref)) return rolesOf(status, ref).every((role) => role.ended === role.workers)
  const workers = workersOf(status, ref)
  return workers.length > 0 && workers.every((worker) => worker.state === 'exited' && worker.receipt !== null)
}

/**
 * A worker that we stopped is never a failure, whatever it exits with; one whose readiness probe ran out of
 * time is.
 */
function codeOfWorker({ exit }: WorkerStatus): number {
  if (exit === null) return TROUPE_FAILED
  if (isBy(exit.killedBy, 'not-ready')) return exitCodeOf(exit) || 1
  return exit.killedBy === null ? exitCodeOf(exit) : 0
}

/** The others of its torchrun role have begun a new attempt without it: the role is what these made of it. */
function hasLeft({ role, attempt }: WorkerStatus, { roles, workers }: RunStatus): boolean {
  const isGang = roles.some((one) => one.role === role && one.kind === 'torchrun')
  return isGang && workers.some((other) => other.role === role && other.attempt > attempt)
}

/** The code of `wait` and `run` once it has ended: the run's, or of some workers the first that is not 0. */
export function endCode(status: RunStatus, ref: Ref): number {
  if (isWhole(ref)) return status.code ?? 0
  const workers = workersOf(status, ref)
  const started = workers.filter(
    (worker) => worker.exit !== null && !(isCounted(ref) && hasLeft(worker, status)),
  )
  if (started.length === 0) return status.code ?? 0
  return started.map(codeOfWorker).find((code) => code !== 0) ?? 0
}

/**
 * Why it has not got there yet, in one line, for whoever waits. @param ref  whose reason is wanted; the whole
 * run's without
 */
export function whyNot(status: RunStatus, point: Point, ref: Ref = { run: status.run }): string {
  const ready = status.roles.reduce((sum, role) => sum + role.ready, 0)
  const workers = status.roles.reduce((sum, role) => sum + role.workers, 0)
  // a stop that takes long waits for somebody
  const slow = workersOf(status, ref).find(
    (worker) =>
      worker.reason !== null &&
      (status.state === 'stopping' ? worker.state === 'stopping' : point === 'ready' && !worker.ready),
  )
  const own = slow === undefined ? null : `${slow.role}/${slow.index}: ${slow.reason}`
  const reason =
    status.state === 'stopping'
      ? [status.reason, own].filter((part) => part !== null).join('; ') || null
      : isWhole(ref)
        ? (status.reason ?? own)
        : (own ?? status.reason)
  return `${status.run} is ${status.state}${workers > 1 && point === 'ready' ? `, ${ready} of ${workers} ready` : ''}${reason === null ? '' : `: ${reason}`}`
}
