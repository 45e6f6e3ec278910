/**
 * Small files of a spool, written synchronously: a few microseconds each, where a promise costs more than the
 * work. Atomic by rename but not synced: a spool has to survive its processes, not a power cut, after which
 * nothing of it runs.
 */
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readSync,
  readdirSync,
  renameSync,
  rmSync,
  rmdirSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { isOutOfDescriptors } from './descriptors.ts'

/** A reader sees the old content or the new; when the disk is full the old stays. */
export function replaceFileSync(file: string, content: string | Uint8Array): void {
  const temporary = `${file}.${process.pid}.tmp`
  try {
    writeFileSync(temporary, content, { mode: 0o600 })
    renameSync(temporary, file)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
}

/** 0 for a file that is not there. */
export function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0
}

/** What `overwriteFileSync` writes whole; more than that is replaced. */
const SLOT_BYTES = 4096

/**
 * Write over a small text, filled with blanks to 4096 bytes, in one call: a reader sees the old or the new,
 * and the disk has nothing to allocate or to journal. `replaceFileSync` makes and renames a file for each
 * write, which waits while the file system commits somebody's fsync.
 *
 * @param text something that blanks at its end do not change, such as JSON
 */
export function overwriteFileSync(file: string, text: string): void {
  const bytes = Buffer.alloc(Math.max(SLOT_BYTES, Buffer.byteLength(text)), ' ')
  bytes.write(text)
  let fd: number
  try {
    fd = openSync(file, 'r+')
  } catch {
    // the first time, or a fault that the replacement will tell
    return replaceFileSync(file, bytes)
  }
  try {
    if (bytes.length === SLOT_BYTES && fstatSync(fd).size === SLOT_BYTES)
      writeSync(fd, bytes, 0, SLOT_BYTES, 0)
    else replaceFileSync(file, bytes)
  } finally {
    closeSync(fd)
  }
}

/** Nothing waits for a writer: a worker may have put a pipe where its file was. */
export const OPEN_PLAIN = constants.O_RDONLY | constants.O_NONBLOCK

/** @throws when it is none to read to its end: a pipe, a device, a directory */
export function openPlainSync(file: string): number {
  const fd = openSync(file, OPEN_PLAIN)
  if (fstatSync(fd).isFile()) return fd
  closeSync(fd)
  throw Object.assign(new Error(`${file} is no plain file`), { code: 'EINVAL' })
}

/** The first `bytesMax` bytes of a plain file. */
export function readPlainSync(file: string, encoding: 'utf8' | 'latin1', bytesMax: number): string {
  const fd = openPlainSync(file)
  try {
    const bytes = Buffer.alloc(Math.min(fstatSync(fd).size, bytesMax))
    return bytes.toString(encoding, 0, readSync(fd, bytes, 0, bytes.length, 0))
  } finally {
    closeSync(fd)
  }
}

/** More than a launch may have. */
const JSON_BYTES_MAX = 16 * 2 ** 20

/** @returns the parsed JSON, or null when the file is not there or no JSON */
export function readJsonSync(file: string): unknown {
  try {
    return JSON.parse(readPlainSync(file, 'utf8', JSON_BYTES_MAX))
  } catch (error) {
    if (isOutOfDescriptors(error)) throw error
    return null
  }
}

/** The last `bytesMax` bytes of a file as text; empty when it is not there. */
export function readEndSync(file: string, bytesMax: number): string {
  let fd: number
  try {
    fd = openPlainSync(file)
  } catch {
    return ''
  }
  try {
    const { size } = fstatSync(fd)
    const buffer = Buffer.alloc(Math.min(size, bytesMax))
    const read = readSync(fd, buffer, 0, buffer.length, size - buffer.length)
    return buffer.subarray(0, read).toString('utf8')
  } finally {
    closeSync(fd)
  }
}

/**
 * `rm -r` for a directory of a few files; quiet when it is not there. Seven times as fast as `rmSync`, which
 * blocks the loop as long. A link is removed itself: a worker may have put one where its directory was.
 */
export function removeTreeSync(directory: string): void {
  try {
    if (lstatSync(directory).isSymbolicLink()) return unlinkSync(directory)
    for (const entry of readdirSync(directory, { withFileTypes: true }))
      if (entry.isDirectory()) removeTreeSync(join(directory, entry.name))
      else unlinkSync(join(directory, entry.name))
    rmdirSync(directory)
  } catch {
    // gone meanwhile, or somebody still writes there
    rmSync(directory, { recursive: true, force: true })
  }
}
