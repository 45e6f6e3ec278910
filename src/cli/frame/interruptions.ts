/** Ctrl-C, SIGTERM and a closed terminal, counted: for a command that does more at each. */

/**
 * `timeout` signals its program and then the whole group: that is one signal, and does not make a kill of a
 * stop.
 */
const ECHO_MS = 50

export interface Interruptions {
  /** told with the count, also of those that came before */
  onInterrupt(listener: (count: number) => void): void
  close(): void
}

/** Signals to us, counted from the first moment: one that comes before the launch is accepted is not lost. */
export function interruptions(): Interruptions {
  let count = 0
  let listener: ((count: number) => void) | null = null
  let last = { signal: '', at: -Infinity }
  const onSignal = (signal: string): void => {
    const echo = signal === last.signal && performance.now() - last.at < ECHO_MS
    last = { signal, at: performance.now() }
    if (echo) return
    count++
    listener?.(count)
  }
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const signal of signals) process.on(signal, onSignal)
  return {
    onInterrupt(added) {
      listener = added
      for (let told = 1; told <= count; told++) added(told)
    },
    close: () => void signals.forEach((signal) => process.off(signal, onSignal)),
  }
}
