/** File systems of a test's own, which can be filled up or made read-only. Needs root. */
import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'

export interface Mounted {
  path: string
  /** until not a byte is left */
  fill(): void
  free(): void
  /** for files that are opened from now on */
  setReadOnly(readOnly: boolean): void
  unmount(): void
}

export function mountTmpfs(path: string, size: string): Mounted {
  mkdirSync(path, { recursive: true, mode: 0o700 })
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=0700`, 'tmpfs', path])
  const filler = join(path, '.filler')
  return {
    path,
    fill() {
      const fd = openSync(filler, 'w')
      try {
        for (const block of [64 * 1024, 4096, 1])
          for (const bytes = Buffer.alloc(block); ;)
            try {
              writeSync(fd, bytes)
            } catch (error) {
              if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
              break
            }
      } finally {
        closeSync(fd)
      }
    },
    free: () => rmSync(filler, { force: true }),
    setReadOnly: (readOnly) =>
      void execFileSync('mount', ['-o', `remount,bind,${readOnly ? 'ro' : 'rw'}`, path]),
    // what still has a file open there keeps it, invisibly, until it ends
    unmount: () => void execFileSync('umount', ['--lazy', path]),
  }
}
