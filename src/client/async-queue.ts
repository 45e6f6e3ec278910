/**
 * From callbacks to an awaited sequence: what is pushed waits here until it is taken. Unbounded; who pushes
 * bytes bounds them himself.
 */
export interface AsyncQueue<T> {
  push(item: T): void
  /** the next item; null when `signal` is aborted, or after `waitMs` when given */
  take(signal?: AbortSignal, waitMs?: number): Promise<T | null>
  /** what is there now, without waiting */
  poll(): T | null
  readonly size: number
}

export function asyncQueue<T>(): AsyncQueue<T> {
  const items: T[] = []
  let wake: (() => void) | null = null
  return {
    push(item) {
      items.push(item)
      wake?.()
    },
    poll: () => items.shift() ?? null,
    async take(signal, waitMs) {
      if (items.length === 0 && !signal?.aborted)
        await new Promise<void>((resolve) => {
          const timer = waitMs === undefined ? undefined : setTimeout(done, waitMs)
          function done(): void {
            wake = null
            clearTimeout(timer)
            signal?.removeEventListener('abort', done)
            resolve()
          }
          wake = done
          signal?.addEventListener('abort', done)
        })
      return items.shift() ?? null
    },
    get size() {
      return items.length
    },
  }
}
