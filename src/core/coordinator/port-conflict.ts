/**
 * Did a child lose its port to a stranger between the lease and its own bind? Only its last words tell: the
 * port is bound again by somebody else, and by now that somebody may be gone.
 */
import type { ForkReport } from '../../protocol/shapes.ts'

/** What libc, Node, Python, Go and Java say. */
const WORDS =
  /EADDRINUSE|address (?:is )?already in use|Address in use|Only one usage of each socket address|port(?: \d+)? (?:is )?already (?:in use|allocated)/i

/** @param withinMs  a child that lived longer had its port */
export function isPortConflict(report: ForkReport, withinMs: number): boolean {
  const { exit } = report
  if (exit === null || exit.code === 0 || exit.killedBy !== null) return false
  if (report.ports.length === 0 && report.rendezvousPort === null) return false
  if (report.startedAt !== null && report.exitedAt !== null && report.exitedAt - report.startedAt > withinMs)
    return false
  return (
    report.stderrTail.some((line) => WORDS.test(line)) ||
    (report.errorFile !== null && WORDS.test(report.errorFile))
  )
}
