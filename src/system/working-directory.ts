/** Where the caller stands, though that may have been removed. */
import { readlinkSync } from 'node:fs'

/** One that was removed still has a name, with that word behind it: it says so wherever it is used. */
export function workingDirectory(): string {
  try {
    return process.cwd()
  } catch {
    return formerName() ?? '/'
  }
}

function formerName(): string | null {
  try {
    return readlinkSync('/proc/self/cwd')
  } catch {
    return null
  }
}
