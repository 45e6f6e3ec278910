/**
 * Whether a SIGKILL was the kernel's for want of memory. Three answers: true, false, and null where it cannot
 * be known.
 */
import { readOomKills } from '../system/proc.ts'
import { oomKillsOfCgroup } from './cgroup.ts'

/**
 * The cgroup's own count decides where it has one. Else the machine's count only says that nobody was killed
 * at all.
 * @param before the machine's count before the start
 */
export function wasOomKilled(
  cgroup: string | null,
  before: number | null,
  now: () => number | null = readOomKills,
): boolean | null {
  const own = cgroup === null ? null : oomKillsOfCgroup(cgroup)
  if (own !== null) return own > 0
  return before !== null && now() === before ? false : null
}
