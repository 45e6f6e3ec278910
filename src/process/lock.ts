/**
 * A spool has one owner. Owners are numbered files, made whole by link(2); the highest number owns, so nobody ever has to remove a
 * stale lock that could just have become somebody's. A newcomer ends the owner before it touches anything.
 */
import { linkSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Fault } from '../protocol/faults.ts'
import { isAlive, readBootId, readPidNamespace, readStat } from '../system/proc.ts'

export interface Owner {
  pid: number
  startTime: string
  bootId: string
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

export const selfAsOwner = (): Owner => ({ pid: process.pid, startTime: readStat(process.pid)!.startTime, bootId: readBootId(), pidNamespace: readPidNamespace(), released: false })

/**
 * @param directory  of the lock's files; it exists
 * @throws {Fault} LOCKED when the owner lives where we cannot see or end it, or is this very process
 */
export const takeLock = async (directory: string, self: Owner = selfAsOwner(), wait = { termMs: TERM_MS, killMs: KILL_MS }): Promise<Lock> => {
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
    for (const number of numbersOf(directory)) if (number < mine) rmSync(join(directory, String(number)), { force: true })
    return {
      held: () => !existsSync(join(directory, String(mine + 1))) && existsSync(join(directory, String(mine))),
      release: () => void put(directory, mine + 1, { ...self, released: true }),
    }
  }
}

const numbersOf = (directory: string): number[] => readdirSync(directory).map(Number).filter((n) => Number.isInteger(n))
const highestOf = (directory: string): number => Math.max(0, ...numbersOf(directory))

/** Never half written: the file gets its name when it is complete. @returns false when the number is taken */
const put = (directory: string, number: number, owner: Owner): boolean => {
  const temporary = join(directory, `new-${owner.pid}-${process.hrtime.bigint()}`)
  try {
    writeFileSync(temporary, JSON.stringify(owner), { mode: 0o600 })
    linkSync(temporary, join(directory, String(number)))
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw new Fault('SPOOL', `the lock of the spool cannot be written: ${(error as Error).message}`, { cause: error })
  } finally {
    rmSync(temporary, { force: true })
  }
}

/** @returns null for what is no owner: damaged, or removed meanwhile */
const readOwner = (file: string): Owner | null => {
  try {
    const owner = JSON.parse(readFileSync(file, 'utf8')) as Owner
    return Number.isInteger(owner.pid) ? owner : null
  } catch {
    return null
  }
}

const endOwner = async (owner: Owner | null, self: Owner, wait: { termMs: number; killMs: number }): Promise<void> => {
  if (owner === null || owner.released || owner.bootId !== self.bootId) return
  const data = { owner: owner.pid }
  if (owner.pidNamespace !== self.pidNamespace)
    throw new Fault('LOCKED', `the spool belongs to process ${owner.pid} of another pid namespace, which cannot be seen from here`, { data, hint: 'stop that agent, or remove the directory lock/ of the spool if it is gone' })
  if (!isAlive(owner)) return
  if (owner.pid === self.pid) throw new Fault('LOCKED', 'this very process has the spool open already', { data })
  for (const [signal, ms] of [['SIGTERM', wait.termMs], ['SIGKILL', wait.killMs]] as const) {
    try {
      process.kill(owner.pid, signal)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw new Fault('LOCKED', `the spool belongs to process ${owner.pid}, which may not be ended: ${(error as Error).message}`, { data, cause: error })
    }
    for (const until = performance.now() + ms; performance.now() < until; await sleep(10)) if (!isAlive(owner)) return
  }
  throw new Fault('LOCKED', `the spool belongs to process ${owner.pid}, which does not end`, { data })
}
