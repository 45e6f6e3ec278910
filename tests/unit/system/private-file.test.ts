import {
  chmod,
  chown,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readCredentials, writeCredentials } from '../../../src/system/contexts.ts'
import { readPrivate, writePrivate } from '../../../src/system/private-file.ts'
import { runProgram } from '../../../src/system/run.ts'
import { mountTmpfs } from '../../support/mounts.ts'

/** Not ours, and not root's. */
const STRANGER = 4711
let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'troupe-private-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

async function made(file: string, mode = 0o600): Promise<string> {
  await mkdir(join(file, '..'), { recursive: true, mode: 0o700 })
  await writeFile(file, 'secret')
  await chmod(file, mode)
  return file
}

describe('a file with a secret is read', () => {
  test('when it is ours alone; one that is not there is none', async () => {
    expect(await readPrivate(await made(join(dir, 'c')))).toBe('secret')
    expect(await readPrivate(await made(join(dir, 'read-only'), 0o400))).toBe('secret')
    expect(await readPrivate(join(dir, 'none'))).toBeNull()
    expect(await readPrivate(join(dir, 'c', 'below-a-file'))).toBeNull()
  })

  test('in a directory that all can write when it is sticky, as /tmp is', async () => {
    await chmod(dir, 0o1777)
    expect(await readPrivate(await made(join(dir, 'c')))).toBe('secret')
  })

  test('through a link of ours, to a file of ours', async () => {
    await made(join(dir, 'vault/c'))
    await symlink('vault/c', join(dir, 'link'))
    expect(await readPrivate(join(dir, 'link'))).toBe('secret')
  })
})

describe('it is refused, with the next line to type', () => {
  test.each([
    ['the group can read it', 0o640],
    ['others can read it', 0o604],
    ['the group can write it', 0o620],
    ['all can', 0o666],
  ])('when %s', async (_, mode) => {
    const file = await made(join(dir, "it's mine"), mode)
    const refused = await readPrivate(file).catch((error: unknown) => error)
    expect(refused).toMatchObject({
      code: 'PERMISSION',
      exitCode: 5,
      message: expect.stringContaining(`(mode 0${mode.toString(8)})`),
      hint: expect.stringMatching(/^chmod 600 /),
    })
    await runProgram(['sh', '-c', (refused as { hint: string }).hint], { timeoutMs: 5000 })
    expect(await readPrivate(file)).toBe('secret')
  })

  test.each([
    ['others', 0o703, 'chmod go-w '],
    ['the group', 0o770, 'chmod go-w '],
  ])('when %s can write its directory: they could exchange it', async (_, mode, next) => {
    const file = await made(join(dir, 'open/c'))
    await chmod(join(dir, 'open'), mode)
    await expect(readPrivate(file)).rejects.toMatchObject({
      code: 'PERMISSION',
      message: expect.stringContaining(join(dir, 'open')),
      hint: `${next}${join(dir, 'open')}`,
    })
  })

  test('when it is somebody else’s, or its directory is, sticky or not', async () => {
    const file = await made(join(dir, 'theirs/c'))
    await chown(file, STRANGER, STRANGER)
    await expect(readPrivate(file)).rejects.toMatchObject({
      code: 'PERMISSION',
      message: expect.stringContaining(`user id ${STRANGER}`),
    })
    await chown(file, process.getuid!(), process.getgid!())
    expect(await readPrivate(file)).toBe('secret')
    await chown(join(dir, 'theirs'), STRANGER, STRANGER)
    await chmod(join(dir, 'theirs'), 0o1777)
    await expect(readPrivate(file)).rejects.toMatchObject({ code: 'PERMISSION' })
  })

  test('when a link leads to a file or into a directory of others, or lies in one', async () => {
    const theirs = await made(join(dir, 'theirs/c'))
    await symlink(theirs, join(dir, 'link'))
    await chown(theirs, STRANGER, STRANGER)
    await expect(readPrivate(join(dir, 'link'))).rejects.toMatchObject({ code: 'PERMISSION' })
    await chown(theirs, process.getuid!(), process.getgid!())
    await chmod(join(dir, 'theirs'), 0o777)
    await expect(readPrivate(join(dir, 'link'))).rejects.toMatchObject({ code: 'PERMISSION' })
    await made(join(dir, 'ours/c'))
    await symlink(join(dir, 'ours/c'), join(dir, 'theirs/link'))
    await expect(readPrivate(join(dir, 'theirs/link'))).rejects.toMatchObject({ code: 'PERMISSION' })
  })

  test('when it is no plain file: a pipe without a writer holds nobody up', async () => {
    await runProgram(['mkfifo', '-m', '600', join(dir, 'pipe')], { timeoutMs: 5000 })
    await expect(readPrivate(join(dir, 'pipe'))).rejects.toThrow(/no plain file/)
    await expect(readPrivate(dir)).rejects.toThrow(/no plain file/)
  })
})

describe('it is written', () => {
  test('for us alone, whatever the umask', async () => {
    const before = process.umask(0)
    try {
      await writePrivate(join(dir, 'new/deep/c'), 'secret')
    } finally {
      process.umask(before)
    }
    for (const [path, mode] of [
      ['new/deep/c', 0o600],
      ['new/deep', 0o700],
      ['new', 0o700],
    ] as const)
      expect((await stat(join(dir, path))).mode & 0o7777, path).toBe(mode)
  })

  test('not into a directory that others can write', async () => {
    await mkdir(join(dir, 'open'))
    await chmod(join(dir, 'open'), 0o777)
    await expect(writePrivate(join(dir, 'open/c'), 'secret')).rejects.toMatchObject({
      code: 'PERMISSION',
      hint: `chmod go-w ${join(dir, 'open')}`,
    })
    expect(await readdir(join(dir, 'open'))).toEqual([])
  })

  test('a link in its place is replaced: what it leads to is not written', async () => {
    await made(join(dir, 'victim'))
    await symlink('victim', join(dir, 'c'))
    await writePrivate(join(dir, 'c'), 'new')
    expect((await lstat(join(dir, 'c'))).isSymbolicLink()).toBe(false)
    expect(await readFile(join(dir, 'victim'), 'utf8')).toBe('secret')
    expect(await readPrivate(join(dir, 'c'))).toBe('new')
  })

  test('while somebody puts links in its place: nothing beside it is ever written, and each reader sees a whole file', async () => {
    const file = join(dir, 'c')
    const victim = await made(join(dir, 'victim'))
    await writePrivate(file, 'new')
    let done = false
    const attacker = (async () => {
      for (let i = 0; !done; i++) {
        const link = join(dir, `link-${i}`)
        await symlink(victim, link)
        await rename(link, file)
      }
      return true
    })()
    for (let i = 0; i < 200; i++) {
      await writePrivate(file, 'new')
      expect(['new', 'secret']).toContain(await readPrivate(file))
    }
    done = true
    expect(await attacker).toBe(true)
    expect(await readFile(victim, 'utf8')).toBe('secret')
    expect((await readdir(dir)).toSorted()).toEqual(['c', 'victim'])
  })

  test('on a full disk the old credential stays, whole, and nothing is left beside it', async () => {
    const disk = mountTmpfs(join(dir, 'disk'), '1m')
    try {
      const file = join(disk.path, 'c.json')
      const old = { nkeySeed: 'SU1', inboxPrefix: 'p' }
      await writeCredentials(file, old)
      disk.fill()
      await expect(writeCredentials(file, { nkeySeed: 'SU2', inboxPrefix: 'p' })).rejects.toMatchObject({
        code: 'SETUP',
        message: expect.stringMatching(/c\.json' cannot be written: there is no space left/),
      })
      expect(await readCredentials(file)).toEqual(old)
      expect((await readdir(disk.path)).toSorted()).toEqual(['.filler', 'c.json'])
      disk.free()
      await writeCredentials(file, { nkeySeed: 'SU2', inboxPrefix: 'p' })
      expect((await readCredentials(file))!.nkeySeed).toBe('SU2')
    } finally {
      disk.unmount()
    }
  })
})
