import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  currentContext,
  currentName,
  listContexts,
  readContext,
  readCredentials,
  saveContext,
  useContext,
  writeCredentials,
  type Context,
} from '../../../src/system/contexts.ts'

let home: string
beforeEach(async () => {
  home = join(await mkdtemp(join(tmpdir(), 'troupe-contexts-')), 'home')
})
afterEach(() => rm(join(home, '..'), { recursive: true, force: true }))

function context(name: string): Context {
  return { name, url: 'nats://127.0.0.1:4222', fleet: 'main', user: 'ann', credentials: '/c.json' }
}

test('reading where nothing is finds nothing and makes nothing [U-11 +U5]', async () => {
  expect([
    await currentContext(home),
    await readContext(home, 'local'),
    await listContexts(home),
    await readCredentials(join(home, 'c.json')),
  ]).toEqual([null, null, [], null])
  await expect(stat(home)).rejects.toThrow('ENOENT')
})

test('a saved context is in use, unless told otherwise', async () => {
  await saveContext(home, context('local'))
  await saveContext(home, context('other'), { use: false })
  expect(await currentContext(home)).toEqual(context('local'))
  expect((await listContexts(home)).map((c) => c.name)).toEqual(['local', 'other'])
  await useContext(home, 'other')
  expect(await currentName(home)).toBe('other')
})

test('a context whose file is gone is not in use any more', async () => {
  await saveContext(home, context('local'))
  await rm(join(home, 'contexts/local.json'))
  expect(await currentContext(home)).toBeNull()
})

test('credentials are readable for us alone, and no half-written file is left beside them', async () => {
  await writeCredentials(join(home, 'c.json'), { nkeySeed: 'SU1', inboxPrefix: '_INBOX_ann' })
  await writeCredentials(join(home, 'c.json'), { nkeySeed: 'SU2', inboxPrefix: '_INBOX_ann' })
  expect(await readCredentials(join(home, 'c.json'))).toEqual({ nkeySeed: 'SU2', inboxPrefix: '_INBOX_ann' })
  expect((await stat(join(home, 'c.json'))).mode & 0o777).toBe(0o600)
  expect(await readdir(home)).toEqual(['c.json'])
})

test('writers at the same time leave one whole file', async () => {
  await Promise.all(
    Array.from({ length: 20 }, (_, i) => saveContext(home, { ...context('local'), user: `u${i}` })),
  )
  expect((await currentContext(home))!.user).toMatch(/^u\d+$/)
  expect(await readdir(join(home, 'contexts'))).toEqual(['local.json'])
})

test('a name that would leave the directory is no context', async () => {
  expect(await readContext(home, '../x')).toBeNull()
  await expect(saveContext(home, context('../x'))).rejects.toThrow("'../x'")
})

test('a file that is no context says which file and what is missing', async () => {
  await mkdir(join(home, 'contexts'), { recursive: true })
  await writeFile(join(home, 'contexts/a.json'), '{')
  await writeFile(join(home, 'contexts/b.json'), '{"url":"nats://x"}')
  await expect(readContext(home, 'a')).rejects.toThrow(/a\.json' is not JSON/)
  await expect(readContext(home, 'b')).rejects.toThrow(/b\.json' has no 'fleet'/)
})
