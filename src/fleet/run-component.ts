/**
 * Shared by the two components in the foreground: waits that a signal ends, what is logged of the bus, and
 * the version that `nats micro ls` shows.
 */
import type { Fault } from '../protocol/faults.ts'
import type { Credentials } from '../system/contexts.ts'
import type { Bus } from '../transport/bus.ts'
import type { ComponentLog } from './component-log.ts'

/** @returns null when the signal came first; nobody waits for the other then */
export function unlessAborted<T>(signal: AbortSignal, awaited: Promise<T>): Promise<T | null> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => resolve(null)
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    awaited.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

/** Waits for the end of a component; a signal makes it leave. */
export function endOf<E>(
  { stop, ended }: { stop(): Promise<void>; ended: Promise<E> },
  signal: AbortSignal,
): Promise<E> {
  const onAbort = (): void => void stop()
  if (signal.aborted) onAbort()
  else signal.addEventListener('abort', onAbort, { once: true })
  return ended
}

/** How a component comes to its bus, and back to it: it waits, says why, and takes a renewed credential. */
export interface Reaching {
  url: string
  /** null: for ever */
  connectTimeoutMs?: number | null
  signal: AbortSignal
}

export function reachOptions(
  { url, connectTimeoutMs, signal }: Reaching,
  credentials: () => Promise<Credentials | null>,
) {
  return { servers: url, credentials, waitMs: connectTimeoutMs ?? Infinity, signal }
}

/** A line for each word of why the bus is not reached, or why it cut us off: address, reason, next step. */
export function logAway(log: ComponentLog, meanwhile = ''): (trouble: Fault) => void {
  return ({ code, message, data, hint }) =>
    log({
      level: code === 'PERMISSION' ? 'error' : 'warn',
      msg: `${message}${meanwhile}`,
      code,
      ...data,
      ...(hint !== undefined && { next: hint }),
    })
}

/** Why it is gone is said by `logAway`. */
export function logTroubleOf(bus: Bus, log: ComponentLog): void {
  bus.onLink((up) => {
    if (up) log({ msg: 'the bus is back' })
  })
  bus.onPermissionViolation((violation) =>
    log({ level: 'error', msg: 'refused by the server', ...violation }),
  )
}

/** `nats micro` takes nothing but a semantic version. */
export function semantic(version: string): string {
  return /^\d+\.\d+\.\d+/.test(version) ? version : '0.0.0'
}
