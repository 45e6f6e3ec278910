/**
 * A clock that is moved by hand. Timers run in order of time, then of birth; between two of them all
 * microtasks are drained, so one order of events follows from one order of calls. Nothing real: no Date, no
 * setTimeout.
 */
import type { Clock } from '../../src/system/clock.ts'

export interface ManualClock extends Clock {
  /** run everything that is due within `ms`, then stand at now + ms */
  advance(ms: number): Promise<void>
  /** move to the next timer and run all of that moment; false when there is none before `limit` */
  step(limit?: number): Promise<boolean>
  /** drain microtasks without moving */
  settle(): Promise<void>
  readonly pending: number
}

/** setImmediate is no timer: it is the first moment at which no microtask is left. */
export function drain(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

interface Timer {
  at: number
  order: number
  fn: () => void
}

export function manualClock(options: { now?: number; wall?: number } = {}): ManualClock {
  let now = options.now ?? 0
  const wallOffset = (options.wall ?? 1_700_000_000_000) - now
  let births = 0
  const heap: Timer[] = []

  const after = (ms: number, fn: () => void): void =>
    push(heap, { at: now + Math.max(0, ms), order: births++, fn })
  const step = async (limit = Infinity): Promise<boolean> => {
    const next = heap[0]
    if (next === undefined || next.at > limit) return false
    now = Math.max(now, next.at)
    // what these set for the same moment is another one's
    for (const last = births; heap.length > 0 && heap[0]!.at <= now && heap[0]!.order < last;) {
      const due = heap[0]!
      pop(heap)
      due.fn()
    }
    await drain()
    return true
  }

  return {
    now: () => now,
    wall: () => Math.round(wallOffset + now),
    after,
    every(ms, fn) {
      let stopped = false
      const again = (): void => {
        if (stopped) return
        after(ms, again)
        fn()
      }
      after(ms, again)
      return () => void (stopped = true)
    },
    step,
    async advance(ms) {
      const until = now + ms
      await drain()
      while (await step(until));
      now = until
    },
    settle: drain,
    get pending() {
      return heap.length
    },
  }
}

function before(a: Timer, b: Timer): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}

function push(heap: Timer[], timer: Timer): void {
  let i = heap.push(timer) - 1
  while (i > 0) {
    const parent = (i - 1) >> 1
    if (!before(timer, heap[parent]!)) break
    heap[i] = heap[parent]!
    i = parent
  }
  heap[i] = timer
}

function pop(heap: Timer[]): void {
  const last = heap.pop()!
  if (heap.length === 0) return
  let i = 0
  for (;;) {
    let child = 2 * i + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
    if (!before(heap[child]!, last)) break
    heap[i] = heap[child]!
    i = child
  }
  heap[i] = last
}
