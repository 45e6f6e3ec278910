/** What to type next: the last lines of everything that starts something. Talk, never data. */
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
