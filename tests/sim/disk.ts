/** The disk of the simulated server: well, slow or full, for a time; the history knows which. */
import type { ManualClock } from '../support/manual-clock.ts'
import type { History } from './history.ts'

export interface SimDisk {
  /** what the bus asks at each append: how long it takes, ms, or that there is no space */
  now(): number | 'full'
  be(state: number | 'full', forMs: number): void
}

export function simDisk(clock: ManualClock, history: () => History): SimDisk {
  let state: number | 'full' = 0
  let faults = 0
  const set = (next: number | 'full'): void => {
    state = next
    history().add({ kind: 'disk', what: next === 'full' ? 'full' : next > 0 ? 'slow' : 'well' })
  }
  return {
    now: () => state,
    be(next, forMs) {
      const mine = ++faults
      set(next)
      clock.after(forMs, () => void (mine === faults && set(0)))
    },
  }
}
