/**
 * How many files this process may have open, and who may keep one. A worker or a small limit can use them up:
 * then nothing that is read says "not there", and who needs one now comes before who keeps one.
 */
import { readdirSync, readFileSync } from 'node:fs'

/** What the program itself, its connections and a look at /proc need. */
const RESERVE = 40
/** Files that are open for one read, at the same time, where none may be kept. */
const TRANSIENT_MAX = 4

/** The kernel refused to open a file for want of descriptors: it says nothing about the file. */
export function isOutOfDescriptors(error: unknown): boolean {
  const { code } = (error ?? {}) as NodeJS.ErrnoException
  return code === 'EMFILE' || code === 'ENFILE'
}

let limit: number | null = null

/** Read once: Node has raised it to what it may be. */
export function descriptorLimit(): number {
  return (limit ??= readLimit())
}

function readLimit(): number {
  try {
    return Number(
      /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1] ?? Infinity,
    )
  } catch {
    return Infinity
  }
}

/** @returns how many can be opened besides what the program itself needs */
export function freeDescriptors(): number {
  if (!(descriptorLimit() <= 65_536)) return Infinity
  return descriptorLimit() - RESERVE / 2 - readdirSync('/proc/self/fd').length
}

/** Files that stay open between uses. The bound is a share of what is there. */
export interface Keeping {
  /** @returns false when no more may be kept */
  take(): boolean
  give(): void
  /** run a use that opens a file and closes it, few at a time */
  briefly<T>(use: () => Promise<T>): Promise<T>
}

export function keeping(share: number, most: number = descriptorLimit()): Keeping {
  const max = Math.max(2, Math.floor((most - RESERVE) * share))
  const waiting: (() => void)[] = []
  let kept = 0
  let brief = 0
  return {
    take: () => kept < max && ++kept > 0,
    give: () => void kept--,
    async briefly(use) {
      if (brief >= TRANSIENT_MAX) await new Promise<void>((resolve) => waiting.push(resolve))
      else brief++
      try {
        return await use()
      } finally {
        const next = waiting.shift()
        if (next === undefined) brief--
        else next()
      }
    },
  }
}
