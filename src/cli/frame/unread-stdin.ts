/** Is there data on stdin that nobody will read? Nothing is read: a shell's loop may go on there. */
import { spawnSync } from 'node:child_process'
import { fstatSync } from 'node:fs'

/** Node cannot ask how many bytes a pipe holds; perl(1) can, by Linux' FIONREAD. */
const HAS_BYTES = 'ioctl(STDIN, 0x541B, $n = pack("L", 0)); exit(unpack("L", $n) ? 0 : 1)'
const PATIENCE_MS = 2000

/** @returns false also when it cannot be known: there is no perl */
export async function hasUnreadStdin(): Promise<boolean> {
  try {
    const stat = fstatSync(0)
    if (stat.isFile()) return stat.size > 0
    if (!stat.isFIFO() && !stat.isSocket()) return false
  } catch {
    return false
  }
  const asked = spawnSync('perl', ['-e', HAS_BYTES], {
    stdio: ['inherit', 'ignore', 'ignore'],
    timeout: PATIENCE_MS,
  })
  return asked.status === 0
}
