/**
 * Ending: stop and kill, awaited to the last receipt, and signals. The order is accepted within a second; the
 * end is learnt by waiting.
 */
import { Fault, isFault } from '../protocol/faults.ts'
import {
  isTerminal,
  type RunStatus,
  type Target,
  type WorkerReceipt,
  type WorkerStatus,
} from '../protocol/shapes.ts'
import type { Messenger } from '../transport/messenger.ts'
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
  const before = await patiently(() => messenger.ask('coordinator.status', { user }, { run: ref.run }), {
    boundMs: FAILOVER_MS,
    signal,
    onTrouble,
  })
  const attempts = new Map(before.workers.map((worker) => [worker.worker, worker.attempt]))
  for (const target of targetsOf(ref))
    await patiently(
      () => messenger.ask(`coordinator.${how}`, { user }, { ...target, ...(force === true && { force }) }),
      { boundMs: FAILOVER_MS, signal, onTrouble },
    )
  const status = await waitUntil(
    messenger,
    user,
    ref,
    (now) =>
      isTerminal(now.state) ||
      (ref.role !== undefined &&
        now.workers.filter((w) => refFits(ref, w)).every((w) => isOver(w, attempts))),
    options,
  ).catch((error: unknown) => {
    throw isFault(error, 'WORKER_TIMEOUT') ? notProven(how, ref, error) : error
  })
  return { receipts: receiptsOf(status, ref), status }
}

/** Its tree is proven gone, or it never had one. */
function isOver(worker: WorkerStatus, attempts: ReadonlyMap<string, number>): boolean {
  return worker.receipt !== null
    ? worker.attempt >= (attempts.get(worker.worker) ?? 0) && worker.state === 'exited'
    : worker.state === 'exited' && worker.startedAt === null
}

function notProven(how: string, ref: Ref, fault: Fault): Fault {
  const status = fault.data['status'] as RunStatus | undefined
  const open =
    status?.workers.filter((w) => refFits(ref, w) && w.receipt === null && w.startedAt !== null) ?? []
  const lost = open.filter((w) => w.state === 'lost')
  return new Fault(
    'FAILED',
    `${how} was ordered, but ${open.length === 0 ? 'the run has not ended' : `${open.map((w) => w.worker).join(', ')} ${open.length === 1 ? 'has' : 'have'} no receipt`} yet`,
    {
      data: { workers: open.map((w) => w.worker) },
      hint:
        lost.length > 0
          ? `the node of ${lost[0]!.worker} is lost: --force ends the run without proof`
          : 'wait longer with --timeout, or ask troupe explain',
    },
  )
}

function receiptsOf(status: RunStatus, ref: Ref): WorkerReceipt[] {
  return status.workers
    .filter((w) => refFits(ref, w) && w.receipt !== null)
    .map((w) => ({ worker: w.worker, forkId: w.forkId, ...w.receipt! }))
}

/**
 * @returns the workers that it was sent to. A signal is never sent twice: an order whose answer was lost is
 * reported, not repeated
 */
export async function signalRef(
  messenger: Messenger,
  user: string,
  ref: Ref,
  signal: string,
): Promise<string[]> {
  const targets: (Target & { rank?: number })[] =
    ref.ranks === undefined
      ? targetsOf(ref)
      : ref.ranks.map((rank) => ({ run: ref.run, role: ref.role!, rank }))
  const sent: string[] = []
  for (const target of targets) {
    const { workers } = await patiently(
      () => messenger.ask('coordinator.signal', { user }, { ...target, signal }),
      { boundMs: FAILOVER_MS, retry: NOT_DONE },
    )
    sent.push(...workers)
  }
  return sent
}
