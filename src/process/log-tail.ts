/**
 * Reading log files that grow: a tail that is pulled, a watcher of a directory of sources, ranges, and where
 * the last lines begin. Bytes are bytes: nothing here looks for lines but `offsetOfTail`. Marks, floors and
 * shipping are built on it elsewhere. One tail never holds more than one chunk.
 */
import { watch, type FSWatcher } from 'node:fs'
import { open, readdir, stat, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import type { LogTail } from './log-store.ts'

const CHUNK_BYTES_DEFAULT = 128 * 1024
/** How many bytes before the offset are compared at each read. */
const FINGERPRINT_BYTES = 64
const BLOCK_BYTES = 64 * 1024
/** A flood of writes is told once in this time. */
const COALESCE_MS = 10
/** So many events in that time are a flood. */
const FLOOD_EVENTS = 200
const FLOOD_POLL_MS = 50
/** Where nothing can be watched. */
const POLL_MS = 200

export interface TailOptions {
  offset: number
  generation?: number
  chunkBytesMax?: number
}

/**
 * Follow one file. A file that shrank, was replaced, or no longer ends at our offset with the bytes that we
 * read there (it shrank and grew again between two reads) starts a new generation at offset 0. A file that is
 * not there yet has no bytes yet. One read at a time; after `close`, and for one that it overtakes, there is
 * nothing more.
 */
export function createTail(file: string, options: TailOptions): LogTail {
  const chunkBytesMax = options.chunkBytesMax ?? CHUNK_BYTES_DEFAULT
  let { offset, generation = 0 } = options
  let fingerprint = Buffer.alloc(0)
  let handle: FileHandle | null = null
  let inode: number | null = null
  let closed = false

  const restart = (): void => {
    generation++
    offset = 0
    fingerprint = Buffer.alloc(0)
  }

  const openFile = async (): Promise<{ handle: FileHandle; size: number } | null> => {
    for (;;) {
      if (closed) return close().then(() => null)
      handle ??= await openIfThere(file)
      if (handle === null) return null
      if (closed) continue
      const { size, ino, nlink } = await handle.stat()
      if (nlink === 0) {
        // replaced or removed: what was not read of it is gone
        await handle.close()
        handle = null
        continue
      }
      if (size < offset || (inode !== null && inode !== ino)) restart()
      inode = ino
      return { handle, size }
    }
  }

  const close = async (): Promise<void> => {
    closed = true
    const opened = handle
    handle = null
    await opened?.close()
  }

  const readOn: LogTail['read'] = async () => {
    const opened = await openFile()
    if (opened === null || opened.size <= offset) return null
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
        return await readOn()
      } catch (error) {
        // closed under our hands
        if (closed) return null
        throw error
      }
    },
    seek(to) {
      offset = to
      fingerprint = Buffer.alloc(0)
    },
    close,
  }
}

/** A prefix that was punched out after shipping reads as NULs: that is no other file. */
function continues(known: Buffer, found: Buffer): boolean {
  return (
    known.equals(found) ||
    (found.length === known.length && found.every((byte, i) => byte === known[i] || byte === 0))
  )
}

/** At most `bytesMax` bytes from `offset`; fewer, or none, at the end or when there is no such file. */
export async function readRange(file: string, offset: number, bytesMax: number): Promise<Uint8Array> {
  const handle = await openIfThere(file)
  if (handle === null) return new Uint8Array(0)
  try {
    const { size } = await handle.stat()
    const buffer = Buffer.allocUnsafeSlow(Math.max(0, Math.min(bytesMax, size - offset)))
    const { bytesRead } =
      buffer.length === 0 ? { bytesRead: 0 } : await handle.read(buffer, 0, buffer.length, offset)
    return buffer.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
}

/**
 * Where the last `lines` lines begin; a last line without a newline is a line. Reads backwards in blocks.
 * @param floor  bytes before it are not looked at
 */
export async function offsetOfTail(file: string, lines: number, floor = 0): Promise<number> {
  const handle = await openIfThere(file)
  if (handle === null) return floor
  try {
    const { size } = await handle.stat()
    if (lines <= 0) return Math.max(floor, size)
    const block = Buffer.allocUnsafeSlow(BLOCK_BYTES)
    let left = lines
    for (let end = size; end > floor;) {
      const start = Math.max(floor, end - BLOCK_BYTES)
      const { bytesRead } = await handle.read(block, 0, end - start, start)
      for (let i = bytesRead - 1; i >= 0; i--) {
        const at = start + i
        // the newline that ends the file ends the last line, and begins none
        if (block[i] === NEWLINE && at !== size - 1 && --left === 0) return at + 1
      }
      end = start
    }
    return floor
  } finally {
    await handle.close()
  }
}

const NEWLINE = 0x0a

/**
 * Tell, for each file of a directory, that it is there and whenever it may have more; never from inside the
 * call. One watch for all sources of a fork. Under a flood of writes sizes are looked at instead, since each
 * event costs us and the writer; so they are where the system has no watches left or the directory is not
 * there yet.
 */
export function watchSources(dir: string, onSource: (source: string) => void): { close(): void } {
  const dirty = new Set<string>()
  const sizes = new Map<string, number>()
  let events = 0
  let flushing: NodeJS.Timeout | null = null
  let polling: NodeJS.Timeout | null = null
  let watcher: FSWatcher | null = null
  let closed = false

  const touch = (source: string): void => {
    dirty.add(source)
    flushing ??= setTimeout(flush, COALESCE_MS)
  }
  const flush = (): void => {
    flushing = null
    events = 0
    const sources = [...dirty]
    dirty.clear()
    for (const source of sources) if (!closed) onSource(source)
  }

  /** @returns whether any size is another one than at the last look */
  const look = async (): Promise<boolean> => {
    let changed = false
    for (const source of await readdir(dir).catch(() => [])) {
      const size = await stat(join(dir, source)).then(
        (s) => s.size,
        () => null,
      )
      if (closed || size === null || sizes.get(source) === size) continue
      sizes.set(source, size)
      touch(source)
      changed = true
    }
    return changed
  }

  const startPolling = (ms: number): void => {
    watcher?.close()
    watcher = null
    if (polling !== null) clearTimeout(polling)
    if (closed) return
    polling = setTimeout(async () => {
      if (await look()) startPolling(FLOOD_POLL_MS)
      else startWatching()
    }, ms)
  }
  const startWatching = (): void => {
    if (closed) return
    try {
      watcher = watch(dir, (_, source) => {
        if (source !== null) touch(source)
        if (++events > FLOOD_EVENTS) startPolling(FLOOD_POLL_MS)
      })
      watcher.on('error', () => startPolling(POLL_MS))
      // what came before the watch
      void look()
    } catch {
      startPolling(POLL_MS)
    }
  }
  startWatching()

  return {
    close() {
      closed = true
      watcher?.close()
      if (flushing !== null) clearTimeout(flushing)
      if (polling !== null) clearTimeout(polling)
    },
  }
}

async function openIfThere(file: string): Promise<FileHandle | null> {
  try {
    return await open(file, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}
