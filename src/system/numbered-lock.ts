/**
 * A lock in a directory. Holders are numbered, and the highest number holds: nobody ever removes a stale lock
 * that could just have become somebody's. What happens to a holder that is in the way, the caller says.
 *
 * A holder is a symbolic link that points nowhere. It is made at once or not at all, it is whole from the
 * start, and a full disk has room for it: file systems keep up to 60 bytes in the inode.
 */
import { lstatSync, readdirSync, readlinkSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { readBootId, readPidNamespace, readStat, type ProcIdentity } from './proc.ts'

export interface Holder extends ProcIdentity {
  /** the first digits of the boot id: enough to tell two boots of a machine apart */
  bootId: string
  /** inode of the namespace */
  pidNamespace: string
  /** given up in order */
  released: boolean
  /** said to people who wait; may be empty */
  note: string
}

export interface NumberedLock {
  /** false when a newcomer has taken it: touch nothing any more */
  held(): boolean
  release(): void
}

export function selfAsHolder(note = ''): Holder {
  return {
    pid: process.pid,
    startTime: readStat(process.pid)!.startTime,
    bootId: readBootId().slice(0, 8),
    pidNamespace: readPidNamespace().replace(/\D/g, ''),
    released: false,
    note,
  }
}

/**
 * @param directory  of the lock alone; it exists
 * @param isOver     asked about a holder of this boot that has not released: true when it holds nothing any
 *                   more, false to look again; it waits as long as it likes, and throws to give up
 */
export async function takeNumberedLock(
  directory: string,
  self: Holder,
  isOver: (holder: Holder) => Promise<boolean>,
): Promise<NumberedLock> {
  for (;;) {
    const highest = highestOf(directory)
    const holder = highest > 0 ? readHolder(join(directory, String(highest))) : null
    const inTheWay = holder !== null && !holder.released && holder.bootId === self.bootId
    if (inTheWay && !(await isOver(holder))) continue
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
function put(directory: string, number: number, holder: Holder): boolean {
  try {
    symlinkSync(encode(holder), join(directory, String(number)))
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** The note comes last and may hold colons. Without one the text is as it was before there were notes. */
function encode({ pid, startTime, bootId, pidNamespace, released, note }: Holder): string {
  const fields = [pid, startTime, bootId, pidNamespace, released ? 'released' : '']
  return [...fields, ...(note === '' ? [] : [note])].join(':')
}

/** @returns null for what is no holder: damaged, or removed meanwhile */
function readHolder(link: string): Holder | null {
  let text: string
  try {
    text = readlinkSync(link)
  } catch {
    return null
  }
  const [pid, startTime, bootId, pidNamespace, released, ...note] = text.split(':')
  if (released === undefined) return null
  return {
    pid: Number(pid),
    startTime: startTime!,
    bootId: bootId!,
    pidNamespace: pidNamespace!,
    released: released !== '',
    note: note.join(':'),
  }
}

function isThere(link: string): boolean {
  return lstatSync(link, { throwIfNoEntry: false }) !== undefined
}
