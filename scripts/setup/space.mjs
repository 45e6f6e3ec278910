// Free space first: a set-up that dies at 98 % is worse than one that refuses.
import { mkdir, statfs } from 'node:fs/promises'
import { say, SetupError } from './say.mjs'

export const GB = 1e9

/**
 * @param {string} dir    where the bytes will go
 * @param {number} bytes  how many at most
 * @param {string} what
 */
export async function needSpace(dir, bytes, what) {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const { bavail, bsize } = await statfs(dir)
  const free = bavail * bsize
  say(`${what}: up to ${(bytes / GB).toFixed(1)} GB into ${dir} (${(free / GB).toFixed(1)} GB free)`)
  if (free < bytes)
    throw new SetupError(
      `${what} needs up to ${(bytes / GB).toFixed(1)} GB in ${dir}, ${(free / GB).toFixed(1)} GB are free. Set TROUPE_CACHE to a larger disk.`,
    )
}
