import { mkdir, mkdtemp, rm, stat, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { mendCache } from '../../../src/system/paths.ts'

let base: string
beforeEach(async () => void (base = await mkdtemp(join(tmpdir(), 'troupe-cache-'))))
afterEach(() => rm(base, { recursive: true }))
async function modeOf(path: string): Promise<number> {
  return (await stat(path)).mode & 0o777
}

test('a cache that others can read is closed; one that a person has chosen, and one behind a link, stay', async () => {
  const [cache, elsewhere] = [join(base, 'a/troupe'), join(base, 'elsewhere')]
  for (const dir of [cache, elsewhere]) await mkdir(dir, { recursive: true, mode: 0o755 })
  await mkdir(join(base, 'b'))
  await symlink(elsewhere, join(base, 'b/troupe'))
  await mendCache({ TROUPE_CACHE: cache, XDG_CACHE_HOME: join(base, 'a') })
  expect(await modeOf(cache)).toBe(0o755)
  await mendCache({ XDG_CACHE_HOME: join(base, 'b') })
  expect(await modeOf(elsewhere)).toBe(0o755)
  await mendCache({ XDG_CACHE_HOME: join(base, 'a') })
  expect(await modeOf(cache)).toBe(0o700)
  await mendCache({ XDG_CACHE_HOME: join(base, 'not-there') })
})
