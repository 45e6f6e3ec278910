import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { checkGiven } from '../../../src/fleet/given-certificate.ts'
import type { KeyPair } from '../../../src/system/openssl.ts'
import { daysFromNow, issue } from '../../support/tls-server.ts'

const CA = ['basicConstraints = critical, CA:TRUE', 'subjectKeyIdentifier = hash']
let dir: string
function file(name: string): string {
  return join(dir, name)
}
async function put(name: string, text: string, mode = 0o600): Promise<void> {
  await writeFile(file(name), text)
  await chmod(file(name), mode)
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'troupe-test-given-'))
  const root = await issue([], null, { commonName: 'root' })
  const between: KeyPair = await issue([], root, { commonName: 'between', extensions: CA })
  const leaf = await issue(['DNS.1 = *.example.org', 'IP.1 = 10.0.0.5'], between)
  const old = await issue(['DNS.1 = *.example.org'], root, {
    notBefore: daysFromNow(-3),
    notAfter: daysFromNow(-1),
  })
  await put('root', root.certificate, 0o644)
  await put('between', between.certificate)
  await put('other', (await issue([], null)).certificate)
  await put('chain', leaf.certificate + between.certificate)
  await put('leaf', leaf.certificate)
  await put('key', leaf.key)
  await put('open', leaf.key, 0o644)
  await put('old', old.certificate)
  await put('oldkey', old.key)
  await put('locked', '-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n')
  await put('text', 'hello')
  await put('spoilt', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')
})
afterAll(() => rm(dir, { recursive: true, force: true }))

function check(cert: string, key: string, ca: string | null, names = ['bus.example.org', '10.0.0.5']) {
  return checkGiven({ cert: file(cert), key: file(key), ca: ca === null ? null : file(ca) }, names)
}

test('a certificate with its key and its authority is taken, by way of one in between or directly', async () => {
  expect(await check('chain', 'key', 'root')).toMatch(/^-----BEGIN CERTIFICATE/)
  expect(await check('leaf', 'key', 'between')).toMatch(/^-----BEGIN CERTIFICATE/)
})

test('without an authority credentials pin none', async () => {
  expect(await check('chain', 'key', null)).toBeNull()
})

test.each([
  ['the authority is not its own', () => check('chain', 'key', 'other'), 'USAGE', /not one of the authority/],
  ['what is in between lacks', () => check('leaf', 'key', 'root'), 'USAGE', /not one of the authority/],
  ['the key is another’s', () => check('chain', 'oldkey', 'root'), 'USAGE', /is not that of the certificate/],
  ['the key has a pass phrase', () => check('chain', 'locked', 'root'), 'USAGE', /without a pass phrase/],
  ['the key is none', () => check('chain', 'text', 'root'), 'USAGE', /no private key/],
  ['the key is not there', () => check('chain', 'nothing', 'root'), 'USAGE', /there is no '.*nothing'/],
  ['the key can be read by others', () => check('chain', 'open', 'root'), 'PERMISSION', /others/],
  ['it expired', () => check('old', 'oldkey', 'root', ['bus.example.org']), 'USAGE', /expired/],
  [
    'it lacks the name',
    () => check('chain', 'key', 'root', ['bus.example.com']),
    'USAGE',
    /not for bus\.example\.com but for .*\*\.example\.org/,
  ],
  ['it lacks the address', () => check('chain', 'key', 'root', ['10.0.0.6']), 'USAGE', /not for 10\.0\.0\.6/],
  ['it is none', () => check('text', 'key', 'root'), 'USAGE', /holds no certificate/],
  ['it is spoilt', () => check('spoilt', 'key', 'root'), 'USAGE', /holds no certificate/],
  ['it is not there', () => check('nothing', 'key', 'root'), 'USAGE', /cannot be read/],
  ['its authority is none', () => check('chain', 'key', 'text'), 'USAGE', /text' holds no certificate/],
])('%s: it is refused as that', async (_, checked, code, message) => {
  await expect(checked()).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
})
