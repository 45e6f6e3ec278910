/**
 * Small files of a spool, written synchronously: a few microseconds each, where a promise costs more than the work.
 * Atomic by rename but not synced: a spool has to survive its processes, not a power cut, after which nothing of it runs.
 */
import { closeSync, openSync, readSync, readFileSync, renameSync, rmSync, writeFileSync, fstatSync } from 'node:fs'

/** A reader sees the old content or the new; when the disk is full the old stays. */
export const replaceFileSync = (file: string, content: string | Uint8Array): void => {
  const temporary = `${file}.${process.pid}.tmp`
  try {
    writeFileSync(temporary, content, { mode: 0o600 })
    renameSync(temporary, file)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
}

/** @returns the parsed JSON, or null when the file is not there or no JSON */
export const readJsonSync = (file: string): unknown => {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return null
  }
}

/** The last `bytesMax` bytes of a file as text; empty when it is not there. */
export const readEndSync = (file: string, bytesMax: number): string => {
  let fd: number
  try {
    fd = openSync(file, 'r')
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
