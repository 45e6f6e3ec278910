/**
 * How long the logs of released forks are kept: by age, by bytes and by number. Owns the order of release
 * between two sweeps; the sweep is retention.ts.
 */
import { join } from 'node:path'
import { removeTreeSync } from '../system/files.ts'
import { sweepLogs } from './retention.ts'
import { logDirOf } from './spool.ts'
import { DAY_MS } from '../system/clock.ts'

export interface LogRetentionOptions {
  spoolDir: string
  logRetentionMs?: number
  logRetainedBytesMax?: number
  /** released forks whose logs are kept */
  logRetainedForksMax?: number
}

export interface LogRetention {
  /** A fork was released: its logs stay, the oldest go when they are too many. */
  keep(forkId: string): void
  sweep(isLive: (forkId: string) => boolean): void
}

const RETAINED_FORKS_MAX = 10_000

export function createLogRetention(options: LogRetentionOptions, wall: () => number): LogRetention {
  const { spoolDir } = options
  const retained = {
    ageMsMax: options.logRetentionMs ?? DAY_MS,
    bytesMax: options.logRetainedBytesMax ?? Infinity,
    forksMax: options.logRetainedForksMax ?? RETAINED_FORKS_MAX,
  }
  /** oldest first */
  let kept = new Set<string>()
  return {
    keep(forkId) {
      kept.add(forkId)
      if (kept.size <= retained.forksMax) return
      const [oldest] = kept
      kept.delete(oldest!)
      removeTreeSync(logDirOf(spoolDir, oldest!))
    },
    sweep(isLive) {
      kept = new Set(sweepLogs(join(spoolDir, 'logs'), isLive, retained, wall()))
    },
  }
}
