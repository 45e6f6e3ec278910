/** Where the caller stands, though that may have been removed, or its name be no UTF-8 (exact-env.ts). */
import { readlinkSync } from 'node:fs'
import { decodeWord } from './exact-env.ts'

/** One that was removed still has a name, with that word behind it: it says so wherever it is used. */
export function workingDirectory(): string {
  try {
    const dir = process.cwd()
    return dir.includes('\uFFFD') ? (nameByLink() ?? dir) : dir
  } catch {
    return nameByLink() ?? '/'
  }
}

function nameByLink(): string | null {
  try {
    return decodeWord(readlinkSync('/proc/self/cwd', 'buffer'))
  } catch {
    return null
  }
}
