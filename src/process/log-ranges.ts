/**
 * Parts of a log file that are read once: a range of bytes, and where the last lines begin. A file that is
 * not there has no bytes.
 */
import { open, type FileHandle } from 'node:fs/promises'
import { OPEN_PLAIN } from '../system/files.ts'

const BLOCK_BYTES = 64 * 1024
const NEWLINE = 0x0a

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

/** @returns null when there is no such file, or a pipe or device in its place */
export async function openIfThere(file: string): Promise<FileHandle | null> {
  try {
    const handle = await open(file, OPEN_PLAIN)
    if ((await handle.stat()).isFile()) return handle
    await handle.close()
    return null
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}
