/**
 * Free the blocks of a file's beginning and keep its offsets (they then read as NULs). Node has no call for
 * it: util-linux's `fallocate` does it. Where that or the file system cannot, the bytes stay; the floor
 * stands all the same.
 */
import { runProgram } from '../system/run.ts'

/** The file system answers at once, or it hangs. */
const TIMEOUT_MS = 10_000

/** @returns whether the blocks were freed */
export function punch(file: string, bytes: number): Promise<boolean> {
  const argv = ['fallocate', '--punch-hole', '--offset', '0', '--length', String(bytes), file]
  return runProgram(argv, { timeoutMs: TIMEOUT_MS }).then(
    () => true,
    () => false,
  )
}
