/**
 * A spool has one owner. A newcomer ends the owner before it touches anything: of two agents of one node the
 * later one is meant. How the lock stands on disk is numbered-lock.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Fault, isFault } from '../protocol/faults.ts'
import { selfAsHolder, takeNumberedLock, type Holder, type NumberedLock } from '../system/numbered-lock.ts'
import { isAlive } from '../system/proc.ts'

const TERM_MS = 2000
const KILL_MS = 3000

/**
 * @param directory  of the lock's files; it exists
 * @throws {Fault} LOCKED when the owner lives where we cannot see or end it, or is this very process; SPOOL
 * when the lock cannot be written
 */
export async function takeSpoolLock(
  directory: string,
  self: Holder = selfAsHolder(),
  wait = { termMs: TERM_MS, killMs: KILL_MS },
): Promise<NumberedLock> {
  try {
    return await takeNumberedLock(directory, self, (owner) => endOwner(owner, self, wait))
  } catch (error) {
    if (isFault(error)) throw error
    throw new Fault('SPOOL', `the lock of the spool cannot be written: ${(error as Error).message}`, {
      cause: error,
    })
  }
}

async function endOwner(
  owner: Holder,
  self: Holder,
  wait: { termMs: number; killMs: number },
): Promise<true> {
  const data = { owner: owner.pid }
  if (owner.pidNamespace !== self.pidNamespace)
    throw new Fault(
      'LOCKED',
      `the spool belongs to process ${owner.pid} of another pid namespace, which cannot be seen from here`,
      { data, hint: 'stop that agent, or remove the directory lock/ of the spool if it is gone' },
    )
  if (!isAlive(owner)) return true
  if (owner.pid === self.pid)
    throw new Fault('LOCKED', 'this very process has the spool open already', { data })
  for (const [signal, ms] of [
    ['SIGTERM', wait.termMs],
    ['SIGKILL', wait.killMs],
  ] as const) {
    try {
      process.kill(owner.pid, signal)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH')
        throw new Fault(
          'LOCKED',
          `the spool belongs to process ${owner.pid}, which may not be ended: ${(error as Error).message}`,
          { data, cause: error },
        )
    }
    for (const until = performance.now() + ms; performance.now() < until; await sleep(10))
      if (!isAlive(owner)) return true
  }
  throw new Fault('LOCKED', `the spool belongs to process ${owner.pid}, which does not end`, { data })
}
