/**
 * Shared by the two components in the foreground: a wait that a signal ends, and the version that `nats micro
 * ls` shows.
 */

/** @returns null when the signal came first; what was awaited is then nobody's */
export function unlessAborted<T>(signal: AbortSignal, awaited: Promise<T>): Promise<T | null> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => resolve(null)
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    awaited.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

/** `nats micro` takes nothing but a semantic version. */
export function semantic(version: string): string {
  return /^\d+\.\d+\.\d+/.test(version) ? version : '0.0.0'
}
