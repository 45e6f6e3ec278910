import { chmod, chown, mkdir, mkdtemp, rm, stat, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  busDir,
  cacheOf,
  ensurePrivateDir,
  homeOf,
  localOf,
  localProblem,
  networkFileSystem,
  nodeDir,
} from '../../../src/system/paths.ts'

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'troupe-paths-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const uid = process.getuid!()

test('the defaults are XDG’s, and what is set wins', () => {
  expect(homeOf({ HOME: '/h' })).toBe('/h/.local/state/troupe')
  expect(homeOf({ HOME: '/h', XDG_STATE_HOME: '/s' })).toBe('/s/troupe')
  expect(homeOf({ HOME: '/h', XDG_STATE_HOME: 'relative' })).toBe('/h/.local/state/troupe')
  expect(homeOf({ HOME: '/h', TROUPE_HOME: '/t' })).toBe('/t')
  expect(cacheOf({ HOME: '/h' })).toBe('/h/.cache/troupe')
  expect(cacheOf({ HOME: '/h', TROUPE_CACHE: '/c' })).toBe('/c')
})

test('stores stand below TROUPE_HOME when it is set and on a local disk, else by uid where machines keep such things', () => {
  expect(localOf({ TROUPE_HOME: dir })).toBe(join(dir, 'local'))
  expect(localOf({ HOME: dir })).toBe(`/var/tmp/troupe-${uid}`)
  expect(localOf({ HOME: dir, SLURM_TMPDIR: '/scratch' })).toBe(`/scratch/troupe-${uid}`)
  expect(localOf({ TROUPE_HOME: dir, TROUPE_LOCAL: '/l' })).toBe('/l')
})

test('a directory is the same fleet’s by whichever link it was reached, also where it is not there yet', async () => {
  await mkdir(join(dir, 'real'))
  await symlink(join(dir, 'real'), join(dir, 'link'))
  for (const below of ['', '/not/yet'])
    expect(localOf({ TROUPE_HOME: join(dir, `link${below}`) })).toBe(
      localOf({ TROUPE_HOME: join(dir, `real${below}`) }),
    )
})

test('fleets and nodes do not meet', () => {
  expect([busDir('/l', 'main'), nodeDir('/l/main', 'n0')]).toEqual(['/l/main/bus', '/l/main/nodes/n0'])
})

test.each([
  [0x6969, 'NFS'],
  [0x0bd00bd0, 'Lustre'],
  [0x47504653, 'GPFS'],
  [-11317950, 'CIFS'],
])('a network file system (%s) is refused, by its name', (type, name) => {
  expect(localProblem(dir, () => type)).toContain(name)
  expect(localProblem(dir, () => type)).toContain('TROUPE_LOCAL')
})

test('a directory that is not there yet is judged by where it would be', () => {
  const asked: string[] = []
  const typeOf = (path: string): number => {
    asked.push(path)
    if (path !== dir) throw Object.assign(new Error('no'), { code: 'ENOENT' })
    return 0x6969
  }
  expect(networkFileSystem(join(dir, 'a/b'), typeOf)).toBe('NFS')
  expect(asked).toEqual([join(dir, 'a/b'), join(dir, 'a'), dir])
})

test('a local disk is no problem', () => {
  expect(localProblem(join(dir, 'new'))).toBeNull()
})

test('a private directory is ours alone', async () => {
  await ensurePrivateDir(join(dir, 'a/b'))
  expect((await stat(join(dir, 'a/b'))).mode & 0o777).toBe(0o700)
  await chmod(join(dir, 'a'), 0o755)
  await ensurePrivateDir(join(dir, 'a/b'))
})

test('a directory that somebody else made before us is refused', async () => {
  const theirs = uid === 0 ? join(dir, 'theirs') : '/'
  if (uid === 0) {
    await mkdir(theirs)
    await chown(theirs, 12_345, 12_345)
  }
  await expect(ensurePrivateDir(theirs)).rejects.toThrow(/belongs to user (0|12345)/)
})
