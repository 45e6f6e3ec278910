/**
 * A fork's record, read again and again. Owns what is known of it though its file is gone: a worker may
 * remove its own directory, and its shim writes the record anew with its next word.
 */
import { closeSync, readSync } from 'node:fs'
import { keeping } from '../system/descriptors.ts'
import { openPlainSync } from '../system/files.ts'
import type { ProcIdentity } from '../system/proc.ts'
import {
  isDamaged,
  laterRecord,
  parseRecord,
  readRecordText,
  RECORD_BYTES,
  type ForkRecord,
} from './records.ts'

const early = keeping(1 / 6)

export interface RecordReader {
  read(): ForkRecord
  /** at the last read the file was no record of this fork: it is gone, cut off, written over, or another's */
  readonly unreadable: boolean
  close(): void
}

/** @param ownShim  the shim that this agent started, if it did */
export function recordReader(file: string, ownShim: () => ProcIdentity | null = () => null): RecordReader {
  let unreadable = false
  const first = readRecordText(file) ?? ''
  let known = parseRecord(isDamaged(first) ? '' : first)
  // until the start is known: a program that removes the file at once must not be quicker than our look
  let open = isStarted(known) || !early.take() ? null : openQuietly(file)
  const close = (): void => {
    if (open === null) return
    closeSync(open)
    open = null
    early.give()
  }
  /** What a worker wrote over its record must not become another fork's, or nobody's. */
  const take = (text: string | null): void => {
    const now = parseRecord(text ?? '')
    const shim = known.shim ?? ownShim()
    const isAnothers = now.shim !== null && shim !== null && !isSame(now.shim, shim)
    unreadable = text === null || isDamaged(text) || isAnothers
    if (!isAnothers && (!unreadable || now.shim !== null)) known = laterRecord(known, now)
    if (unreadable) known = { ...known, shim: known.shim ?? shim }
  }
  return {
    read() {
      if (open !== null) take(readOpen(open))
      take(readRecordText(file))
      if (isStarted(known)) close()
      return known
    },
    get unreadable() {
      return unreadable
    },
    close,
  }
}

function isSame(a: ProcIdentity, b: ProcIdentity): boolean {
  return a.pid === b.pid && a.startTime === b.startTime
}

function isStarted({ child, exit }: ForkRecord): boolean {
  return child !== null || exit !== null
}

function openQuietly(file: string): number | null {
  try {
    return openPlainSync(file)
  } catch {
    early.give()
    return null
  }
}

function readOpen(fd: number): string {
  const buffer = Buffer.alloc(RECORD_BYTES)
  return buffer.toString('latin1', 0, readSync(fd, buffer, 0, RECORD_BYTES, 0))
}
