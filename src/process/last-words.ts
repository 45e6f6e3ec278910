/**
 * What is told with an exit: the last lines of stderr and torch's error file. Bounded, so that no worker can
 * make an event too large.
 */
import { join } from 'node:path'
import { readEndSync } from '../system/files.ts'

const TAIL_LINES_MAX = 50
const TAIL_BYTES_MAX = 16 * 1024

/** The last lines of a file; a line that begins before the last 16 KiB is cut at its beginning. */
export function lastLines(file: string): string[] {
  const lines = readEndSync(file, TAIL_BYTES_MAX).split('\n')
  if (lines.at(-1) === '') lines.pop()
  return lines.slice(-TAIL_LINES_MAX)
}

/**
 * @param failedRank log prefix of the rank that failed first: its own words say more than torchrun's about it
 */
export function stderrTail(logDir: string, failedRank: string | null): string[] {
  const ofRank = failedRank === null ? [] : lastLines(join(logDir, `${failedRank}-stderr`))
  return ofRank.length > 0 ? ofRank : lastLines(join(logDir, 'stderr'))
}

export function errorFileText(file: string): string | null {
  return readEndSync(file, TAIL_BYTES_MAX) || null
}
