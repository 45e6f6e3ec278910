/**
 * How long logs of released forks stay: by age, and by number and bytes of all of them together, the oldest
 * going first. Each costs a directory and, at agent and bus, a subscription that answers for it (2 KiB each):
 * so their number has a bound of its own.
 */
import { readdirSync, rmSync, statSync, type Dirent } from 'node:fs'
import { join } from 'node:path'

export interface Retention {
  ageMsMax: number
  bytesMax: number
  forksMax: number
}

/**
 * @param inUse  forks that are not released: their logs are not looked at
 * @returns      forks whose logs stay, oldest first
 */
export function sweepLogs(
  logsDir: string,
  inUse: (forkId: string) => boolean,
  { ageMsMax, bytesMax, forksMax }: Retention,
  now: number,
): string[] {
  const kept = readdirSync(logsDir)
    .filter((forkId) => !inUse(forkId))
    .map((forkId) => ({ forkId, directory: join(logsDir, forkId), ...sizeOf(join(logsDir, forkId)) }))
  let total = kept.reduce((sum, { bytes }) => sum + bytes, 0)
  let left = kept.length
  const stay: string[] = []
  for (const { forkId, directory, bytes, changedAt } of kept.toSorted((a, b) => a.changedAt - b.changedAt)) {
    if (now - changedAt <= ageMsMax && total <= bytesMax && left <= forksMax) {
      stay.push(forkId)
      continue
    }
    left--
    rmSync(directory, { recursive: true, force: true })
    total -= bytes
  }
  return stay
}

/** Bytes on disk (a shipped prefix may be punched out) and the last change. */
function sizeOf(directory: string): { bytes: number; changedAt: number } {
  let bytes = 0
  let changedAt = statSync(directory).mtimeMs
  for (const entry of readdirSync(directory, { withFileTypes: true, recursive: true }) as (Dirent & {
    parentPath?: string
  })[]) {
    const info = statSync(join(entry.parentPath ?? entry.path, entry.name), { throwIfNoEntry: false })
    if (info === undefined) continue
    bytes += info.blocks * 512
    changedAt = Math.max(changedAt, info.mtimeMs)
  }
  return { bytes, changedAt }
}
