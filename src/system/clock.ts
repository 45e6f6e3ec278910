/**
 * The clock contract: monotonic time for durations and deadlines, wall time for people, and timers.
 * Actors get one handed in; the simulator's is moved by hand (tests/support/manual-clock.ts).
 */
export interface Clock {
  /** milliseconds of a monotonic clock; only differences mean anything */
  now(): number
  /** Unix milliseconds */
  wall(): number
  /** one-shot; never cancelled by actors: a late timer is stale and the step ignores it */
  after(ms: number, fn: () => void): void
  /** repeated until the returned function is called */
  every(ms: number, fn: () => void): () => void
}

export const DAY_MS = 24 * 3600 * 1000

export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after: (ms, fn) => void setTimeout(fn, ms),
  every: (ms, fn) => {
    const timer = setInterval(fn, ms)
    return () => clearInterval(timer)
  },
}
