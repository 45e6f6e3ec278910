/**
 * Free the blocks of a file's beginning and keep its offsets (they then read as NULs). Node has no call for
 * it: util-linux's `fallocate` does it. Where that or the file system cannot, the bytes stay; the floor
 * stands all the same.
 */
import { execFile } from 'node:child_process'

/** @returns whether the blocks were freed */
export function punch(file: string, bytes: number): Promise<boolean> {
  return new Promise((resolve) => {
    execFile('fallocate', ['--punch-hole', '--offset', '0', '--length', String(bytes), file], (error) =>
      resolve(error === null),
    )
  })
}
