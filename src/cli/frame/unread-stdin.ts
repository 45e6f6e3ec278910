/** Is there data on stdin that nobody will read? Nothing is read: a shell's loop may go on there. */
import { fstatSync } from 'node:fs'
import { runProgram } from '../../system/run.ts'

/** Node cannot ask how many bytes a pipe holds; perl(1) can, by Linux' FIONREAD. */
const HAS_BYTES =
  'sysopen(F, $ARGV[0], 2048) or exit 1; ioctl(F, 0x541B, $n = pack("L", 0)); exit(unpack("L", $n) ? 0 : 1)'
const PATIENCE_MS = 2000

/** @returns false also when it cannot be known: a socket, or no perl */
export async function hasUnreadStdin(): Promise<boolean> {
  try {
    const stat = fstatSync(0)
    if (stat.isFile()) return stat.size > 0
    if (!stat.isFIFO()) return false
    await runProgram(['perl', '-e', HAS_BYTES, `/proc/${process.pid}/fd/0`], { timeoutMs: PATIENCE_MS })
    return true
  } catch {
    return false
  }
}
