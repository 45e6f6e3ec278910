/** What to type next: the last lines of everything that starts something. Talk, never data. */
import type { RunStatus } from '../../protocol/shapes.ts'
import { helpLines } from '../render/help.ts'
import type { Io } from './io.ts'

export function sayNext(
  io: Io,
  run: string,
  verbs: readonly ('logs -f' | 'logs' | 'status' | 'stop' | 'explain' | 'wait')[],
): void {
  const width = Math.max(...verbs.map((verb) => verb.length))
  io.stderr('next:')
  for (const verb of verbs) io.stderr(`  troupe ${verb.padEnd(width)} ${run}`)
}

/** What a run waits for, and what would help; a program reads it in the status. */
export function sayHelp(io: Io, status: RunStatus): void {
  const lines = helpLines(status)
  if (lines.length === 0 || io.json) return
  const why = status.reason === null ? '' : `: ${status.reason}`
  for (const line of [`${status.run} is ${status.state}${why}`, ...lines]) io.stderr(line)
}
