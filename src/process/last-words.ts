/**
 * What is told with an exit: the last lines of stderr, or of stdout where stderr has none, and torch's error
 * file. Bounded, so that no worker can make an event too large.
 */
import { join } from 'node:path'
import { readEndSync } from '../system/files.ts'
import { afterReturns } from '../system/terminal.ts'
import { withoutLaunchers } from './launcher-words.ts'

const TAIL_LINES_MAX = 50
const TAIL_BYTES_MAX = 16 * 1024
/** A progress bar is much longer than what is left of it. */
const READ_BYTES_MAX = 256 * 1024

/** The last lines of a file; a line that begins before the last 16 KiB is cut at its beginning. */
export function lastLines(file: string): string[] {
  const lines = readEndSync(file, READ_BYTES_MAX).split('\n').map(afterReturns)
  if (lines.at(-1) === '') lines.pop()
  return bounded(withoutLaunchers(lines).slice(-TAIL_LINES_MAX))
}

function bounded(lines: readonly string[]): string[] {
  const text = lines.join('\n')
  const bytes = Buffer.from(text)
  if (lines.length === 0 || bytes.length <= TAIL_BYTES_MAX) return [...lines]
  // a character that is cut in two is left out
  return bytes
    .subarray(-TAIL_BYTES_MAX)
    .toString()
    .replace(/^\uFFFD+/, '')
    .split('\n')
}

/**
 * @param failedRank log prefix of the rank that failed first: its own words say more than torchrun's about it
 * @param failed  of what ended as it should, stdout is no last word
 */
export function stderrTail(logDir: string, failedRank: string | null, failed = true): string[] {
  const prefixes = failedRank === null ? [''] : [`${failedRank}-`, '']
  const sources = failed ? ['stderr', 'stdout'] : ['stderr']
  for (const prefix of prefixes)
    for (const source of sources) {
      const lines = lastLines(join(logDir, `${prefix}${source}`))
      if (lines.some((line) => line.trim() !== '')) return lines
    }
  return []
}

export function errorFileText(file: string): string | null {
  return readEndSync(file, TAIL_BYTES_MAX) || null
}
