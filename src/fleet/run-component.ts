/**
 * Shared by the two components in the foreground: waits that a signal ends, what is logged of the bus, and
 * the version that `nats micro ls` shows.
 */
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

export function logTroubleOf(bus: Bus, log: ComponentLog, gone: string): void {
  bus.onLink((up) => log({ msg: up ? 'the bus is back' : gone }))
  bus.onPermissionViolation((violation) =>
    log({ level: 'error', msg: 'refused by the server', ...violation }),
  )
}

/** `nats micro` takes nothing but a semantic version. */
export function semantic(version: string): string {
  return /^\d+\.\d+\.\d+/.test(version) ? version : '0.0.0'
}
