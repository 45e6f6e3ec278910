/**
 * Following one log file that grows: a tail that is pulled. Bytes are bytes: nothing here looks for lines.
 * Marks, floors and shipping are built on it elsewhere. A tail never holds more than one chunk.
 */
import type { FileHandle } from 'node:fs/promises'
import { keeping, type Keeping } from '../system/descriptors.ts'
import { openIfThere } from './log-ranges.ts'
import type { LogTail } from './log-store.ts'

const CHUNK_BYTES_DEFAULT = 128 * 1024
/** How many bytes before the offset are compared at each read. */
const FINGERPRINT_BYTES = 64

export interface TailOptions {
  offset: number
  generation?: number
  chunkBytesMax?: number
  /** who may keep a file open between reads */
  keep?: Keeping
}

/**
 * Follow one file. A file that shrank, was replaced, or no longer ends at our offset with the bytes that we
 * read there (it shrank and grew again between two reads) starts a new generation at offset 0. A file that is
 * not there yet has no bytes yet; one that is removed is read to its end. One read at a time; after `close`,
 * and for one that it overtakes, there is nothing more.
 */
export function createTail(path: string, options: TailOptions): LogTail {
  const chunkBytesMax = options.chunkBytesMax ?? CHUNK_BYTES_DEFAULT
  const file = presentFile(path, options.keep ?? keeping(1))
  let { offset, generation = 0 } = options
  let fingerprint = Buffer.alloc(0)
  let inode: number | null = null

  const restart = (): void => {
    generation++
    offset = 0
    fingerprint = Buffer.alloc(0)
  }

  const readOn: LogTail['read'] = async () => {
    const opened = await file.open(offset)
    if (opened === null) return null
    if (opened.size < offset || (inode !== null && inode !== opened.inode)) restart()
    inode = opened.inode
    if (opened.size <= offset) return null
    const known = fingerprint.length
    const buffer = Buffer.allocUnsafeSlow(known + Math.min(chunkBytesMax, opened.size - offset))
    const { bytesRead } = await opened.handle.read(buffer, 0, buffer.length, offset - known)
    if (!continues(fingerprint, buffer.subarray(0, Math.min(known, bytesRead)))) {
      restart()
      return readOn()
    }
    if (bytesRead <= known) return null
    const bytes = buffer.subarray(known, bytesRead)
    const chunk = { generation, offset, bytes }
    offset += bytes.length
    fingerprint = Buffer.from(buffer.subarray(Math.max(0, bytesRead - FINGERPRINT_BYTES), bytesRead))
    return chunk
  }

  return {
    async read() {
      try {
        return await file.use(readOn)
      } catch (error) {
        // A close during the read makes it fail.
        if (file.isClosed()) return null
        throw error
      }
    },
    seek(to) {
      offset = to
      fingerprint = Buffer.alloc(0)
    },
    fileIs: file.is,
    close: file.close,
  }
}

/**
 * The file that stands at a path now, kept open. One that was removed is read on as long as we hold it, for
 * its writer does, too; one that was replaced is read to its end first.
 */
function presentFile(path: string, keep: Keeping) {
  let kept = false
  let handle: FileHandle | null = null
  let closed = false
  let state: ReturnType<LogTail['fileIs']> = 'absent'
  const close = async (): Promise<void> => {
    closed = true
    const opened = handle
    handle = null
    if (kept) keep.give()
    kept = false
    await opened?.close()
  }
  return {
    isClosed: () => closed,
    is: () => state,
    close,
    /** Where no more may be kept, it is open for this use alone. */
    async use<T>(work: () => Promise<T>): Promise<T> {
      kept ||= !closed && keep.take()
      if (kept) return work()
      return keep.briefly(async () => {
        try {
          return await work()
        } finally {
          const opened = handle
          handle = null
          await opened?.close()
        }
      })
    },
    /**
     * @param offset  what is before it was read
     * @returns null when there is none, or after `close`
     */
    async open(offset: number): Promise<{ handle: FileHandle; size: number; inode: number } | null> {
      for (;;) {
        if (closed) return close().then(() => null)
        handle ??= await openIfThere(path)
        state = handle === null ? 'absent' : 'there'
        if (handle === null) return null
        if (closed) continue
        const { size, ino, nlink } = await handle.stat()
        if (nlink > 0) return { handle, size, inode: ino }
        const other = size > offset ? null : await openIfThere(path)
        if (other === null) {
          state = 'held'
          return { handle, size, inode: ino }
        }
        await handle.close()
        handle = other
      }
    },
  }
}

/** A prefix that was punched out after shipping reads as NULs: that is no other file. */
function continues(known: Buffer, found: Buffer): boolean {
  return (
    known.equals(found) ||
    (found.length === known.length && found.every((byte, i) => byte === known[i] || byte === 0))
  )
}
