/**
 * The processes of a fleet that are alive on this machine. Each coordinator, agent and watching `up` leaves
 * a file with its pid, start time and boot id. A file whose process is gone means nothing. The bus has a pid
 * file of its own (bus.ts).
 */
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { atomicWrite } from '../system/atomic-write.ts'
import { isAlive, readBootId, readStat, type ProcIdentity } from '../system/proc.ts'

export interface Present extends ProcIdentity {
  kind: 'coordinator' | 'agent' | 'up'
  /** node of an agent, else empty */
  node: string
  bootId: string
}

/**
 * Say that a process is here: this one, or one that was started just now and cannot say so yet itself.
 *
 * @returns takes it back
 */
export async function announcePresence(
  dir: string,
  kind: Present['kind'],
  node = '',
  pid = process.pid,
): Promise<() => Promise<void>> {
  const identity = identify(pid)
  if (identity === null) return async () => undefined
  const file = join(dir, `${kind}-${node === '' ? '' : `${node}-`}${pid}.json`)
  await atomicWrite(file, JSON.stringify({ kind, node, ...identity, bootId: readBootId() } satisfies Present))
  return () => rm(file, { force: true })
}

/**
 * Those that are alive now; files of the dead are removed. Reading a fleet that is not there makes nothing.
 */
export async function listPresent(dir: string): Promise<Present[]> {
  const names = (await readdir(dir).catch(() => [])).filter((name) => name.endsWith('.json'))
  const bootId = readBootId()
  const found = await Promise.all(
    names.toSorted().map(async (name): Promise<Present | null> => {
      const file = join(dir, name)
      const present = await readFile(file, 'utf8').then(
        (text) => JSON.parse(text) as Present,
        () => null,
      )
      if (present !== null && present.bootId === bootId && isAlive(present)) return present
      await rm(file, { force: true })
      return null
    }),
  )
  return found.filter((present) => present !== null)
}

/** @returns null when there is no such process, or only a zombie */
export function identify(pid: number): ProcIdentity | null {
  const stat = readStat(pid)
  return stat === null || stat.state === 'Z' ? null : { pid, startTime: stat.startTime }
}

/**
 * End a process of ours and wait until it is gone: the signal, then SIGKILL after `termMs`.
 *
 * @returns false when it is there still, after SIGKILL and 5 s more (uninterruptible)
 */
export async function endProcess(
  process_: ProcIdentity,
  signal: NodeJS.Signals,
  termMs: number,
): Promise<boolean> {
  for (const [now, ms] of [
    [signal, termMs],
    ['SIGKILL', 5000],
  ] as const) {
    if (!isAlive(process_)) return true
    try {
      process.kill(process_.pid, now)
      // a stopped process reads its signals when it goes on
      if (now !== 'SIGKILL') process.kill(process_.pid, 'SIGCONT')
    } catch {
      // ESRCH: gone between the two
    }
    for (
      const until = performance.now() + ms;
      performance.now() < until;
      await new Promise((resolve) => setTimeout(resolve, 10))
    )
      if (!isAlive(process_)) return true
  }
  return false
}
