/**
 * The last words of a node's forks, bounded in sum: stderr's last lines, and torch's error file. Each fork
 * may keep as many bytes as any other. When the sum is too large that share is halved until half of the bound
 * is free, so the longest words are cut, at their beginning, and every fork keeps its last line.
 */
import type { AgentState, Fork } from './agent-state.ts'

/** With it the answer to any order fits one message, whichever forks it is about. */
export const LAST_WORDS_BYTES_MAX = 2 * 1024 * 1024

export function keepLastWords(
  state: AgentState,
  fork: Fork,
  stderrTail: string[],
  errorFile: string | null,
): void {
  fork.stderrTail = stderrTail
  fork.errorFile = errorFile
  // forks that were forgotten since are still counted: the true sum is taken when it matters
  state.lastWordsBytes += bytesOf(fork)
  if (state.lastWordsBytes <= LAST_WORDS_BYTES_MAX) return
  const sizes = [...state.forks.values()].map((one) => [one, bytesOf(one)] as const)
  const sumWith = (share: number): number => sizes.reduce((sum, [, bytes]) => sum + Math.min(bytes, share), 0)
  let share = Infinity
  if (sumWith(share) > LAST_WORDS_BYTES_MAX) {
    share = Math.max(...sizes.map(([, bytes]) => bytes))
    while (sumWith(share) > LAST_WORDS_BYTES_MAX / 2 && share > 1) share = Math.floor(share / 2)
    for (const [one, bytes] of sizes) if (bytes > share) cut(one, share)
  }
  state.lastWordsBytes = sumWith(share)
}

function bytesOf({ stderrTail, errorFile }: Fork): number {
  return stderrTail.reduce((sum, line) => sum + Buffer.byteLength(line), Buffer.byteLength(errorFile ?? ''))
}

/** The lines are taken out of the array itself: facts that wait to be told share it. */
function cut(fork: Fork, share: number): void {
  const { stderrTail } = fork
  if (fork.errorFile !== null && Buffer.byteLength(fork.errorFile) > share / 2)
    fork.errorFile = startOf(fork.errorFile, Math.floor(share / 2))
  let left = share - Buffer.byteLength(fork.errorFile ?? '')
  let from = stderrTail.length
  while (from > 0 && left > 0) {
    const line = stderrTail[--from]!
    left -= Buffer.byteLength(line)
    if (left < 0) stderrTail[from] = endOf(line, Buffer.byteLength(line) + left)
  }
  stderrTail.splice(0, from)
}

/** Bytes that are cut within a character become a replacement character, which is left out. */
function startOf(text: string, bytes: number): string {
  return Buffer.from(text)
    .subarray(0, bytes)
    .toString()
    .replace(/\uFFFD+$/, '')
}
function endOf(text: string, bytes: number): string {
  return Buffer.from(text)
    .subarray(-bytes)
    .toString()
    .replace(/^\uFFFD+/, '')
}
