/**
 * Waiting in the library: a sleep that ends with a signal, and asking again while a coordinator fails over.
 * Owns no deadlines of its own.
 */
import { setTimeout as sleepFor } from 'node:timers/promises'
import { Fault, isFault, toFault, type FaultCode } from '../protocol/faults.ts'

/**
 * Resolves after `ms`, or at once when the signal is aborted. Holds the process up no longer than its signal.
 */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  await sleepFor(ms, undefined, { signal }).catch(() => undefined)
}

/**
 * What may pass by itself. A request that timed out may have run: only what is harmless twice is asked again.
 */
const TRANSIENT: readonly FaultCode[] = ['CONN', 'NOT_LEADER', 'OVERLOADED', 'TIMEOUT']
/** For what must not run twice: it certainly did not run. */
export const NOT_DONE: readonly FaultCode[] = ['CONN', 'NOT_LEADER', 'OVERLOADED']

/** The bus is there, and knows that nobody serves the subject. Else CONN says that the bus itself is away. */
export function isUnserved(error: unknown): boolean {
  return isFault(error, 'CONN') && error.data['reason'] === 'no-responders'
}

export interface Patience {
  /** give up after this long, with the last fault */
  boundMs: number
  retry?: readonly FaultCode[] | ((fault: Fault) => boolean)
  signal?: AbortSignal
  /** told each time that it has to be asked again */
  onTrouble?(fault: Fault): void
}

/** A coordinator that was killed is replaced within this. */
export const FAILOVER_MS = 6000
const PAUSE_MS = [20, 50, 100, 200, 400] as const

/** Ask until there is an answer, a fault that will not pass, or the bound. */
export async function patiently<T>(
  attempt: () => Promise<T>,
  { boundMs, retry = TRANSIENT, signal, onTrouble }: Patience,
): Promise<T> {
  const until = performance.now() + boundMs
  for (let tries = 0; ; tries++) {
    try {
      return await attempt()
    } catch (error) {
      const fault = toFault(error)
      const pause = PAUSE_MS[Math.min(tries, PAUSE_MS.length - 1)]!
      const passes = typeof retry === 'function' ? retry(fault) : retry.includes(fault.code)
      if (!passes || performance.now() + pause > until || signal?.aborted) throw fault
      onTrouble?.(fault)
      await sleep(pause, signal)
    }
  }
}

/** @throws {Fault} FAILED when the signal was aborted */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted)
    throw isFault(signal.reason) ? signal.reason : new Fault('FAILED', 'given up by the caller')
}
