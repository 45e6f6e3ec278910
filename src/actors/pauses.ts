/**
 * Waits for a while that can be cut short all at once: when the link is back, nobody waits for the next try.
 */
import type { Clock } from '../system/clock.ts'

export interface Pauses {
  pause(ms: number): Promise<void>
  /** Ends all pauses of now. */
  wake(): void
}

export function pausesOn(clock: Pick<Clock, 'after'>): Pauses {
  let sleepers: (() => void)[] = []
  return {
    pause: (ms) =>
      new Promise((resolve) => {
        sleepers.push(resolve)
        clock.after(ms, () => {
          sleepers = sleepers.filter((sleeper) => sleeper !== resolve)
          resolve()
        })
      }),
    wake() {
      const woken = sleepers
      sleepers = []
      for (const go of woken) go()
    },
  }
}
