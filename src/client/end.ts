/**
 * Ending: stop and kill, awaited to the last receipt, and signals. The order is accepted within a second; the
 * end is learnt by waiting.
 */
import { Fault, isFault } from '../protocol/faults.ts'
import type { RunStatus, SignalAim, Target, WorkerReceipt } from '../protocol/shapes.ts'
import type { Messenger } from '../transport/messenger.ts'
import { readStatus } from './pages.ts'
import { areOver } from './points.ts'
import { refFits, targetsOf, type Ref } from './refs.ts'
import { FAILOVER_MS, NOT_DONE, patiently } from './timing.ts'
import { waitUntil, type Waiting } from './wait.ts'

export interface EndOptions extends Waiting {
  /** also end workers whose node is lost: their receipts are `unverified` */
  force?: boolean
}

export interface EndResult {
  receipts: WorkerReceipt[]
  status: RunStatus
}

/** @throws {Fault} WORKER_NOT_FOUND, CONN, FAILED when the end is not proven in time */
export async function endRef(
  messenger: Messenger,
  user: string,
  how: 'stop' | 'kill',
  ref: Ref,
  options: EndOptions = {},
): Promise<EndResult> {
  const { force, signal, onTrouble } = options
  const asker = { messenger, user }
  for (const target of targetsOf(ref))
    await patiently(
      () => messenger.ask(`coordinator.${how}`, { user }, { ...target, ...(force === true && { force }) }),
      { boundMs: FAILOVER_MS, signal, onTrouble },
    )
  await waitUntil(messenger, user, ref, (now) => areOver(now, ref), options).catch(async (error: unknown) => {
    if (!isFault(error, 'WORKER_TIMEOUT')) throw error
    throw notProven(how, ref, await readStatus(asker, { run: ref.run }).catch(() => null))
  })
  const status = await readStatus(asker, { run: ref.run }, { signal, onTrouble })
  return { receipts: receiptsOf(status, ref), status }
}

/** Named one by one; of more the number is said, and `data.workers` has all. */
const NAMED_MAX = 8

function notProven(how: string, ref: Ref, status: RunStatus | null): Fault {
  const open =
    status?.workers.filter((w) => refFits(ref, w) && w.receipt === null && w.startedAt !== null) ?? []
  const lost = open.filter((w) => w.state === 'lost')
  const more = open.length - NAMED_MAX
  const named = open.slice(0, NAMED_MAX).map((w) => w.worker)
  const names = `${named.join(', ')}${more > 0 ? ` and ${more} more` : ''}`
  const left =
    open.length === 0 ? 'the run has not ended' : `${names} ${open.length === 1 ? 'has' : 'have'} no receipt`
  return new Fault('FAILED', `${how} was ordered, but ${left} yet`, {
    data: { workers: open.map((w) => w.worker) },
    hint:
      lost.length > 0
        ? `the node of ${lost[0]!.worker} is lost; without proof it ends by: troupe ${how} ${ref.run} --force`
        : `wait longer with --timeout, or ask: troupe explain ${ref.run}`,
  })
}

function receiptsOf(status: RunStatus, ref: Ref): WorkerReceipt[] {
  return status.workers
    .filter((w) => refFits(ref, w) && w.receipt !== null)
    .map(({ worker, forkId, receipt, saved, save }) => ({
      ...{ worker, forkId, ...receipt! },
      ...(save !== undefined && { save }),
      ...((save === 'yes' || save === 'no') && { saved }),
    }))
}

export interface SignalOptions {
  /** default: the ranks of a torchrun role, else the root process */
  to?: SignalAim
  /** also to a process that has no handler for it and will end by it */
  force?: boolean
  /** hears of each worker, or rank, that did not get it while others did, and why */
  onRefused?: (refused: { worker: string; reason: string }) => void
}

/**
 * @throws {Fault} FAILED when it was refused to all, with what to write
 * @returns the workers that it was sent to. A signal is never sent twice: an order whose answer was lost is
 * reported, not repeated
 * @throws {Fault} USAGE for the root or the tree of a rank
 */
export async function signalRef(
  messenger: Messenger,
  user: string,
  ref: Ref,
  signal: string,
  { onRefused, ...options }: SignalOptions = {},
): Promise<string[]> {
  if (ref.ranks !== undefined && options.to !== undefined && options.to !== 'ranks')
    throw new Fault('USAGE', `a rank is one process: it is not the ${options.to} of its worker`, {
      hint: `name the worker, ${ref.run}/${ref.role}/0, for its ${options.to}`,
    })
  const targets: (Target & { rank?: number })[] =
    ref.ranks === undefined
      ? targetsOf(ref)
      : ref.ranks.map((rank) => ({ run: ref.run, role: ref.role!, rank }))
  const sent: string[] = []
  const faults: { worker: string; fault: Fault }[] = []
  for (const target of targets)
    try {
      const { workers, refused = [] } = await patiently(
        () => messenger.ask('coordinator.signal', { user }, { ...target, signal, ...options }),
        { boundMs: FAILOVER_MS, retry: NOT_DONE },
      )
      sent.push(...workers)
      for (const one of refused) onRefused?.(one)
    } catch (error) {
      if (!isFault(error, 'FAILED')) throw error
      faults.push({ worker: nameOf(target), fault: error })
    }
  if (sent.length === 0 && faults.length > 0) throw faults[0]!.fault
  for (const { worker, fault } of faults) onRefused?.({ worker, reason: fault.message })
  return sent
}

function nameOf({ run, role, index, rank }: Target & { rank?: number }): string {
  const ofRole = role === undefined ? run : `${run}/${role}`
  return rank === undefined ? (index === undefined ? ofRole : `${ofRole}/${index}`) : `${ofRole}:${rank}`
}
