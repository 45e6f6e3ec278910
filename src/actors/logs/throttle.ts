/** The rate of one worker: how long bytes must wait for it. */
import type { Clock } from '../../system/clock.ts'

export type Throttle = (bytes: number) => { waitMs: number; limited: boolean }

/** A bucket of one second's worth: bytes above that wait. */
export function throttleOf(bytesPerSecond: number | null, clock: Clock): Throttle {
  if (bytesPerSecond === null) return () => ({ waitMs: 0, limited: false })
  let level = bytesPerSecond
  let at = clock.now()
  return (bytes) => {
    const now = clock.now()
    level = Math.min(bytesPerSecond, level + ((now - at) * bytesPerSecond) / 1000) - bytes
    at = now
    return level < 0
      ? { waitMs: (-level * 1000) / bytesPerSecond, limited: true }
      : { waitMs: 0, limited: false }
  }
}
