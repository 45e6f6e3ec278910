/**
 * Ctrl-C and SIGTERM, counted: for a command that does more at each. A terminal that closes (SIGHUP) is told
 * apart: nobody has asked for an end.
 */

/**
 * `timeout` signals its program and then the whole group: that is one signal, and does not make a kill of a
 * stop.
 */
const ECHO_MS = 50

export interface Interruptions {
  /** told with the count, also of those that came before */
  onInterrupt(listener: (count: number) => void): void
  /** told once, also when it came before */
  onHangup(listener: () => void): void
  close(): void
}

/** Signals to us, counted from the first moment: one that comes before the launch is accepted is not lost. */
export function interruptions(): Interruptions {
  let count = 0
  let listener: ((count: number) => void) | null = null
  let isHungUp = false
  let hangup: (() => void) | null = null
  let last = { signal: '', at: -Infinity }
  const onSignal = (signal: string): void => {
    const echo = signal === last.signal && performance.now() - last.at < ECHO_MS
    last = { signal, at: performance.now() }
    if (echo) return
    count++
    listener?.(count)
  }
  const onHup = (): void => {
    if (!isHungUp) hangup?.()
    isHungUp = true
  }
  const signals = ['SIGINT', 'SIGTERM'] as const
  for (const signal of signals) process.on(signal, onSignal)
  process.on('SIGHUP', onHup)
  return {
    onInterrupt(added) {
      listener = added
      for (let told = 1; told <= count; told++) added(told)
    },
    onHangup(added) {
      hangup = added
      if (isHungUp) added()
    },
    close() {
      for (const signal of signals) process.off(signal, onSignal)
      process.off('SIGHUP', onHup)
    },
  }
}
