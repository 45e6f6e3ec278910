import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { findConnection } from '../../../src/client/context.ts'
import { saveContext, writeCredentials } from '../../../src/system/contexts.ts'

let home: string
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'troupe-context-'))
})
afterEach(() => rm(home, { recursive: true, force: true }))

function save(name: string, credentials: string): Promise<void> {
  return saveContext(home, { name, url: 'nats://h:1', fleet: 'main', user: 'ann', credentials })
}

test('the context in use gives everything', async () => {
  const file = join(home, 'c.json')
  await writeCredentials(file, { nkeySeed: 'SU', inboxPrefix: 'p' })
  await save('local', file)
  expect(await findConnection({ home })).toEqual({
    name: 'local',
    url: 'nats://h:1',
    fleet: 'main',
    user: 'ann',
    credentials: { nkeySeed: 'SU', inboxPrefix: 'p' },
    credentialsFile: file,
  })
})

test('what the caller says wins over the context; all of it needs none', async () => {
  const all = {
    url: 'nats://x:2',
    fleet: 'f',
    user: 'bob',
    credentials: { nkeySeed: 'SU', inboxPrefix: 'p' },
  }
  expect(await findConnection({ ...all, home: '/nowhere' })).toMatchObject({
    url: 'nats://x:2',
    fleet: 'f',
    user: 'bob',
    credentialsFile: null,
  })
})

test.each([
  ['none in use', {}, /no context is in use/],
  ['one that is not there', { context: 'locl' }, /did you mean 'local'/],
  ['credentials that are not there', { context: 'local' }, /credentials '\/nowhere.json'/],
])('%s: not reachable, with what to type [R-17]', async (_, options, message) => {
  if ('context' in options)
    await saveContext(
      home,
      { name: 'local', url: 'nats://h:1', fleet: 'main', user: 'ann', credentials: '/nowhere.json' },
      { use: false },
    )
  await expect(findConnection({ home, ...options })).rejects.toMatchObject({
    code: 'CONN',
    exitCode: 4,
    message: expect.stringMatching(message),
    hint: expect.stringMatching(/troupe up|there are: local/),
  })
})

test('credentials that the group can read: refused by permission, with what to type', async () => {
  const file = join(home, 'c.json')
  await writeCredentials(file, { nkeySeed: 'SU', inboxPrefix: 'p' })
  await chmod(file, 0o640)
  await save('local', file)
  await expect(findConnection({ home })).rejects.toMatchObject({
    code: 'PERMISSION',
    exitCode: 5,
    hint: `chmod 600 ${file}`,
  })
})
