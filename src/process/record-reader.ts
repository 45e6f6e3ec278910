/**
 * A fork's record, read again and again. Owns what is known of it though its file is gone: a worker may
 * remove its own directory, and its shim writes the record anew with its next word.
 */
import { closeSync, readSync } from 'node:fs'
import { keeping } from '../system/descriptors.ts'
import { openPlainSync } from '../system/files.ts'
import { laterRecord, parseRecord, readRecord, RECORD_BYTES, type ForkRecord } from './records.ts'

const early = keeping(1 / 6)

export interface RecordReader {
  read(): ForkRecord
  close(): void
}

export function recordReader(file: string): RecordReader {
  let known = readRecord(file)
  // until the start is known: a program that removes the file at once must not be quicker than our look
  let open = isStarted(known) || !early.take() ? null : openQuietly(file)
  const close = (): void => {
    if (open === null) return
    closeSync(open)
    open = null
    early.give()
  }
  return {
    read() {
      if (open !== null) known = laterRecord(known, readOpen(open))
      known = laterRecord(known, readRecord(file))
      if (isStarted(known)) close()
      return known
    },
    close,
  }
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

function readOpen(fd: number): ForkRecord {
  const buffer = Buffer.alloc(RECORD_BYTES)
  return parseRecord(buffer.toString('latin1', 0, readSync(fd, buffer, 0, RECORD_BYTES, 0)))
}
