// The cache outside the checkout: where downloads live, shared by all clones of one user, and never
// half-written:
// a thing is made under a lock, and counts only when its `.complete` stamp is there.
import { mkdir, open, readFile, rm, stat, unlink, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export function cacheDir() {
  return process.env.TROUPE_CACHE || join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'troupe')
}

function exists(path) {
  return stat(path).then(
    () => true,
    () => false,
  )
}

/**
 * The directory `name` of the cache, made by `make(dir)` unless a complete one is there.
 * A killed set-up leaves no stamp: what it left is removed and made again.
 * @param {string} name
 * @param {(dir: string) => Promise<void>} make
 */
export async function cached(name, make) {
  const dir = join(cacheDir(), name)
  const stamp = join(dir, '.complete')
  if (await exists(stamp)) return dir
  await mkdir(join(dir, '..'), { recursive: true, mode: 0o700 })
  const unlock = await lock(`${dir}.lock`)
  try {
    if (await exists(stamp)) return dir
    await rm(dir, { recursive: true, force: true })
    await mkdir(dir, { recursive: true, mode: 0o700 })
    await make(dir)
    await writeFile(stamp, `${new Date().toISOString()}\n`)
    return dir
  } finally {
    await unlock()
  }
}

/** One maker at a time. A lock whose process is gone is taken over. */
async function lock(file) {
  for (;;) {
    try {
      const handle = await open(file, 'wx')
      await handle.writeFile(String(process.pid))
      await handle.close()
      return () => unlink(file).catch(() => {})
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
      const owner = Number(await readFile(file, 'utf8').catch(() => '0'))
      if (owner > 0 && !(await exists(`/proc/${owner}`)) && (await exists('/proc/self')))
        await unlink(file).catch(() => {})
      else await sleep(200)
    }
  }
}
