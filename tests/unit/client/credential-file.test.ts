import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  credentialText,
  parseCredential,
  readCredentialFile,
  type CredentialFile,
} from '../../../src/client/credential-file.ts'
import { mintCredentials, newTenant } from '../../../src/transport/nats/tenant-accounts.ts'

const { minter } = newTenant()
const HOUR = 3_600_000
const now = Date.now()

async function made(change: Partial<CredentialFile> = {}, expires = now + HOUR): Promise<string> {
  const { jwt, ...credentials } = await mintCredentials(minter, 'client', 'ann', { expires })
  return credentialText({
    role: 'client',
    user: 'ann',
    fleet: 'main',
    url: 'nats://127.0.0.1:4222',
    credentials: { ...credentials, jwt: jwt! },
    ...change,
  })
}

/** The same file with some of its credential changed. */
async function withCredential(change: object): Promise<string> {
  const file = JSON.parse(await made()) as CredentialFile
  return JSON.stringify({ ...file, credentials: { ...file.credentials, ...change } })
}

test('a file that was made is read back, with what its JWT says; later fields are passed over', async () => {
  const { file, claims } = parseCredential(
    JSON.stringify({ ...JSON.parse(await made()), later: { more: true } }),
    'f',
    now,
  )
  expect(file).toMatchObject({ role: 'client', user: 'ann', fleet: 'main', url: 'nats://127.0.0.1:4222' })
  expect(claims).toMatchObject({ name: 'ann', expires: Math.floor((now + HOUR) / 1000) * 1000 })
})

const refused: [string, () => Promise<string>, string, RegExp][] = [
  ['empty', async () => ' \n', 'USAGE', /it is empty/],
  ['no JSON', async () => '{ "apiVersion": ', 'USAGE', /it is no JSON/],
  ['an array', async () => '[]', 'USAGE', /no credential file/],
  ['null', async () => 'null', 'USAGE', /no credential file/],
  ['a .creds file', async () => '-----BEGIN NATS USER JWT-----\nx\n', 'USAGE', /it is a \.creds file/],
  [
    'the credential alone',
    async () => JSON.stringify(await mintCredentials(minter, 'client', 'ann')),
    'USAGE',
    /a credential alone/,
  ],
  [
    'of a later version',
    async () => (await made()).replace('troupe/v1', 'troupe/v2'),
    'USAGE',
    /its form is troupe\/v2/,
  ],
  ['of another kind', async () => (await made()).replace('"credential"', '"launch"'), 'USAGE', /kind/],
  ['without an address', () => made({ url: '127.0.0.1:4222' }), 'USAGE', /url: no address/],
  ['with a path in its address', () => made({ url: 'nats://h:1/x' }), 'USAGE', /url: no address/],
  ['with a fleet of a wildcard', () => made({ fleet: '*' }), 'USAGE', /fleet: no name/],
  ['with a wildcard for inboxes', () => withCredential({ inboxPrefix: '_INBOX.>' }), 'USAGE', /inboxPrefix/],
  ['without a JWT', () => withCredential({ jwt: undefined }), 'USAGE', /jwt/],
  ['with a damaged JWT', () => withCredential({ jwt: 'a.b.c' }), 'USAGE', /its JWT is damaged/],
  [
    'with a damaged seed',
    () => withCredential({ nkeySeed: 'SUABC' }),
    'PERMISSION',
    /the seed in f is damaged/,
  ],
  [
    'with the seed of another',
    async () => withCredential({ nkeySeed: (await mintCredentials(minter, 'client', 'bob')).nkeySeed }),
    'PERMISSION',
    /is not that of its JWT/,
  ],
  [
    'in the name of another',
    () => made({ user: 'bob' }),
    'PERMISSION',
    /says 'bob', and its JWT is of 'ann'/,
  ],
  ['expired', () => made({}, now - HOUR), 'PERMISSION', /ended at \d{4}-/],
  ['too large', async () => `${await made()}${' '.repeat(300_000)}`, 'USAGE', /too large/],
]
test.each(refused)('a file that is %s is refused, and says so', async (_, text, code, message) => {
  const given = await text()
  expect(() => parseCredential(given, 'f', now)).toThrow(expect.objectContaining({ code }))
  expect(() => parseCredential(given, 'f', now)).toThrow(message)
})

let dir: string
beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), 'troupe-credential-'))))
afterAll(() => rm(dir, { recursive: true, force: true }))

test('a file that others can read, a directory and one that is not there are refused by name', async () => {
  const file = join(dir, 'open.json')
  await writeFile(file, await made(), { mode: 0o644 })
  await expect(readCredentialFile(file, now)).rejects.toMatchObject({
    code: 'PERMISSION',
    hint: `chmod 600 ${file}`,
  })
  await expect(readCredentialFile(dir, now)).rejects.toMatchObject({ code: 'USAGE' })
  await expect(readCredentialFile(join(dir, 'none'), now)).rejects.toMatchObject({
    code: 'USAGE',
    message: `there is no '${join(dir, 'none')}'`,
  })
  await symlink(join(dir, 'nothing'), join(dir, 'link'))
  await expect(readCredentialFile(join(dir, 'link'), now)).rejects.toMatchObject({ code: 'USAGE' })
})
