/**
 * What was asked: which forks of the run, which sources of them, and when nothing is added to these any more.
 */
import { Fault } from '../../protocol/faults.ts'
import { parseForkId, type ForkParts } from '../../protocol/names.ts'
import { isTerminal, type RunStatus, type WorkerStatus } from '../../protocol/shapes.ts'
import { checkRef, hasEnded } from '../points.ts'
import { refFits, refText } from '../refs.ts'
import { bySource, parseSource, sourceFits } from './items.ts'
import { idOf, type Reading, type Wanted } from './reading.ts'
import { logSubject, relayed, type LogMessage } from './remote-spool.ts'

/** Nothing to read is an answer only where something could have been. */
export function checkAsked({ status: now, ref, options, follow }: Reading): void {
  const { attempt, rank, source } = options
  checkRef(now, ref)
  const name = source === undefined ? null : parseSource(source)
  if (source !== undefined && name === null)
    throw new Fault('USAGE', `'${source}' is no source`, {
      hint: 'write stdout, stderr, or of a rank r3-stdout, r3-stderr',
    })
  const asked = rank ?? name?.rank ?? null
  const roles = now.roles.filter(({ role }) => ref.role === undefined || ref.role === role)
  if (asked !== null && !roles.some(({ kind }) => kind === 'torchrun'))
    throw new Fault(
      'WORKER_NOT_FOUND',
      `there is no rank ${asked} in ${refText(ref)}: no torchrun role is in it`,
    )
  if (asked !== null)
    for (const { role, kind } of roles)
      if (kind === 'torchrun' && roles.length === 1) checkRef(now, { ...ref, role, ranks: [asked] })
  if (attempt === undefined) return
  const latest = Math.max(
    0,
    ...now.workers.filter((worker) => refFits(ref, worker)).map((worker) => worker.attempt),
  )
  if (attempt < 1 || (attempt > latest && !follow))
    throw new Fault('WORKER_NOT_FOUND', `${refText(ref)} has no attempt ${attempt}`, {
      hint: latest === 0 ? 'it has not started yet' : `the latest is ${latest}`,
    })
}

/** Forks that were asked for and have run, as the run was when last looked at. */
export function forksOf({ status, ref, options, pinned }: Reading): ForkParts[] {
  return status.workers
    .filter((worker) => refFits(ref, worker) && hasRun(worker, options.attempt))
    .map(({ role, index, attempt }) => ({ run: ref.run, role, index, attempt: options.attempt ?? attempt }))
    .filter((fork) => pinned === null || pinned.forkId === idOf(fork))
}

function hasRun(worker: WorkerStatus, attempt: number | undefined): boolean {
  return attempt === undefined
    ? worker.startedAt !== null || worker.state === 'running'
    : attempt > 0 && attempt <= worker.attempt
}

export function wants({ pinned, ref, options }: Wanted, forkId: string, source: string): boolean {
  return pinned === null
    ? sourceFits(source, ref, options)
    : pinned.forkId === forkId && pinned.source === source
}

export function isAsked(wanted: Wanted, { fork, forkId, source }: LogMessage): boolean {
  const { ref, options } = wanted
  return (
    refFits(ref, fork) &&
    (options.attempt === undefined || options.attempt === fork.attempt) &&
    wants(wanted, forkId, source)
  )
}

/**
 * The one source that `raw` reads; null: none is there yet.
 *
 * @throws {Fault} USAGE when several fit
 */
export async function findSource(reading: Reading): Promise<Reading['pinned']> {
  const { spool, ref, options } = reading
  const found: { forkId: string; source: string }[] = []
  for (const fork of forksOf(reading)) {
    const sizes = await spool.sizes(fork)
    const names = sizes === null ? await relayedSources(reading, fork) : Object.keys(sizes.sources)
    for (const source of names.toSorted(bySource))
      if (sourceFits(source, ref, options)) found.push({ forkId: idOf(fork), source })
  }
  if (found.length > 1) throw manySources(found)
  return found[0] ?? null
}

async function relayedSources({ messenger }: Reading, fork: ForkParts): Promise<string[]> {
  const names = new Set<string>()
  for await (const message of relayed(messenger, logSubject(messenger.fleet, fork))) names.add(message.source)
  return [...names]
}

function manySources(found: readonly { forkId: string; source: string }[]): Fault {
  const names = found.map(({ forkId, source }) => {
    const fork = parseForkId(forkId)!
    return `${fork.role}/${fork.index} ${source}`
  })
  return new Fault(
    'USAGE',
    `--raw gives the bytes of one source, and these fit: ${names.slice(0, 12).join(', ')}${names.length > 12 ? ', …' : ''}`,
    {
      hint: 'choose one by RUN/role/INDEX or RUN/role:RANK and --stream stdout|stderr (or --source NAME)',
      data: { sources: names },
    },
  )
}

/** Nothing is added any more: the run has ended, or what was asked for has and will not be tried again. */
export function isOver(reading: Reading): boolean {
  const { status, ref, pinned } = reading
  const isAtEnd = (fork: ForkParts): boolean => isTerminal(status.state) || hasExited(status, fork)
  return pinned === null
    ? hasEnded(status, ref) && forksOf(reading).every(isAtEnd)
    : isAtEnd(parseForkId(pinned.forkId)!)
}

export function hasExited(now: RunStatus, fork: ForkParts): boolean {
  const worker = now.workers.find((w) => w.role === fork.role && w.index === fork.index)
  return worker === undefined || worker.attempt > fork.attempt || worker.state === 'exited'
}
