/**
 * Small files of a spool, written synchronously: a few microseconds each, where a promise costs more than the work.
 * Atomic by rename but not synced: a spool has to survive its processes, not a power cut, after which nothing of it runs.
 */
import { closeSync, fstatSync, openSync, readFileSync, readSync, readdirSync, renameSync, rmSync, rmdirSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

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

/** `rm -r` for a directory of a few files; quiet when it is not there. Seven times as fast as `rmSync`, which blocks the loop as long. */
export const removeTreeSync = (directory: string): void => {
  try {
    for (const entry of readdirSync(directory, { withFileTypes: true }))
      if (entry.isDirectory()) removeTreeSync(join(directory, entry.name))
      else unlinkSync(join(directory, entry.name))
    rmdirSync(directory)
  } catch {
    // gone meanwhile, or somebody still writes there
    rmSync(directory, { recursive: true, force: true })
  }
}
