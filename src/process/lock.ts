/**
 * A spool has one owner. Owners are numbered; the highest number owns, so nobody ever has to remove a stale
 * lock that could just have become somebody's. A newcomer ends the owner before it touches anything.
 *
 * An owner is a symbolic link that points nowhere: made at once or not at all, whole from the start, and also
 * on a full disk.
 */
import { lstatSync, readdirSync, readlinkSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Fault } from '../protocol/faults.ts'
import { isAlive, readBootId, readPidNamespace, readStat } from '../system/proc.ts'

export interface Owner {
  pid: number
  startTime: string
  /** the first digits of the boot id: enough to tell two boots of a machine apart */
  bootId: string
  /** inode of the namespace */
  pidNamespace: string
  /** given up in order */
  released: boolean
}

export interface Lock {
  /** false when a newcomer has taken the spool: touch nothing any more */
  held(): boolean
  release(): void
}

const TERM_MS = 2000
const KILL_MS = 3000

export function selfAsOwner(): Owner {
  return {
    pid: process.pid,
    startTime: readStat(process.pid)!.startTime,
    bootId: readBootId().slice(0, 8),
    pidNamespace: readPidNamespace().replace(/\D/g, ''),
    released: false,
  }
}

/**
 * @param directory  of the lock's files; it exists
 * @throws {Fault} LOCKED when the owner lives where we cannot see or end it, or is this very process
 */
export async function takeLock(
  directory: string,
  self: Owner = selfAsOwner(),
  wait = { termMs: TERM_MS, killMs: KILL_MS },
): Promise<Lock> {
  for (;;) {
    const highest = highestOf(directory)
    if (highest > 0) await endOwner(readOwner(join(directory, String(highest))), self, wait)
    const mine = highest + 1
    if (!put(directory, mine, self)) continue
    // somebody slow may have made a number below one that is there already
    if (highestOf(directory) > mine) {
      rmSync(join(directory, String(mine)), { force: true })
      continue
    }
    for (const number of numbersOf(directory))
      if (number < mine) rmSync(join(directory, String(number)), { force: true })
    return {
      held: () => !isThere(join(directory, String(mine + 1))) && isThere(join(directory, String(mine))),
      release: () => void put(directory, mine + 1, { ...self, released: true }),
    }
  }
}

function numbersOf(directory: string): number[] {
  return readdirSync(directory)
    .map(Number)
    .filter((n) => Number.isInteger(n))
}
function highestOf(directory: string): number {
  return Math.max(0, ...numbersOf(directory))
}

/** @returns false when the number is taken */
function put(directory: string, number: number, owner: Owner): boolean {
  try {
    symlinkSync(encode(owner), join(directory, String(number)))
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw new Fault('SPOOL', `the lock of the spool cannot be written: ${(error as Error).message}`, {
      cause: error,
    })
  }
}

/** Below 60 bytes, which file systems keep in the inode. */
function encode({ pid, startTime, bootId, pidNamespace, released }: Owner): string {
  return [pid, startTime, bootId, pidNamespace, released ? 'released' : ''].join(':')
}

/** @returns null for what is no owner: damaged, or removed meanwhile */
function readOwner(link: string): Owner | null {
  try {
    const [pid, startTime, bootId, pidNamespace, released] = readlinkSync(link).split(':')
    return released === undefined
      ? null
      : {
          pid: Number(pid),
          startTime: startTime!,
          bootId: bootId!,
          pidNamespace: pidNamespace!,
          released: released !== '',
        }
  } catch {
    return null
  }
}

function isThere(link: string): boolean {
  return lstatSync(link, { throwIfNoEntry: false }) !== undefined
}

async function endOwner(
  owner: Owner | null,
  self: Owner,
  wait: { termMs: number; killMs: number },
): Promise<void> {
  if (owner === null || owner.released || owner.bootId !== self.bootId) return
  const data = { owner: owner.pid }
  if (owner.pidNamespace !== self.pidNamespace)
    throw new Fault(
      'LOCKED',
      `the spool belongs to process ${owner.pid} of another pid namespace, which cannot be seen from here`,
      { data, hint: 'stop that agent, or remove the directory lock/ of the spool if it is gone' },
    )
  if (!isAlive(owner)) return
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
      if (!isAlive(owner)) return
  }
  throw new Fault('LOCKED', `the spool belongs to process ${owner.pid}, which does not end`, { data })
}
