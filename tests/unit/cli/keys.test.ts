import { X509Certificate } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ensureTls, type BusAddress } from '../../../src/fleet/bus-address.ts'
import { serverFile } from '../../../src/fleet/certificates.ts'
import { endingSoon, listKeys, type KeyEntry } from '../../../src/fleet/key-list.ts'
import { keyWarnings } from '../../../src/fleet/key-warnings.ts'
import {
  ensureAccounts,
  ensureOperator,
  noteTold,
  readMinter,
  readOperator,
} from '../../../src/fleet/keys.ts'
import { rotateSigning } from '../../../src/fleet/rotate.ts'
import { userClaimsOf } from '../../../src/transport/nats/jwt-claims.ts'
import { cli } from '../../support/cli.ts'
import { daysFromNow, issue } from '../../support/tls-server.ts'
import { ownHome, type OwnHome } from '../../support/own-home.ts'

const DAY = 24 * 3_600_000

let own: OwnHome
beforeEach(async () => void (own = await ownHome()))
afterEach(() => rm(own.home, { recursive: true, force: true }))

function troupe(...args: string[]) {
  return cli(args, { env: own.env, cwd: own.home })
}

async function claimsOf(file: string) {
  const { jwt } = JSON.parse(await readFile(join(own.layout.keys, file), 'utf8'))
  return userClaimsOf(jwt)!
}

test('every key is shown by its public half, when it was made and when it ends; no seed is', async () => {
  await troupe('user', 'add', 'bob', '--expires', '12h')
  const { stdout } = await troupe('keys', 'show', '--json')
  const shown = JSON.parse(stdout) as {
    kind: string
    name: string
    key: string
    made: number
    ends: number
  }[]
  const of = (kind: string) => shown.filter((one) => one.kind === kind).map(({ name }) => name)
  expect(of('operator')).toEqual(['operator'])
  expect(of('account')).toEqual(expect.arrayContaining(['system', 'core', 'agents', 'people']))
  expect(of('signing key')).toEqual(expect.arrayContaining(['client', 'observer', 'agent', 'coordinator']))
  expect(of('credential')).toEqual([`client ${own.owner}`])
  expect(of('handed out')).toEqual(['client bob'])
  for (const { key, made } of shown) {
    expect(key).toMatch(/^[OAU][A-Z2-7]{55}$/)
    expect(Math.abs(Date.now() - made)).toBeLessThan(60_000)
  }
  expect(shown.at(-1)!.ends - Date.now()).toBeLessThan(12 * 3_600_000)
  for (const text of [stdout, (await troupe('keys', 'show')).stdout])
    expect(text).not.toMatch(/S[OAU][A-Z2-7]{56}/)
})

test('what ends within 30 days is said, but not what was made to end soon', async () => {
  await troupe('user', 'add', 'bob', '--expires', '90d')
  await troupe('user', 'add', 'eve', '--expires', '12h')
  const at = (days: number) => keyWarnings(own.layout, Date.now() + days * DAY)
  expect(await at(59)).toEqual([])
  expect(await at(61)).toEqual([expect.stringMatching(/^warning: handed out client bob ends at \d{4}-/)])
  const entries = await listKeys(own.layout, Date.now())
  const bob = entries.find(({ name }) => name === 'client bob')!
  expect(endingSoon([bob], bob.ends! + 1)).toEqual([bob])
})

describe('a bus that is reached over the network', () => {
  const shown = async () =>
    (JSON.parse((await troupe('keys', 'show', '--json')).stdout) as KeyEntry[]).filter(({ kind }) =>
      ['authority', 'certificate'].includes(kind),
    )
  const at = (days: number) => keyWarnings(own.layout, Date.now() + days * DAY)
  const listenAt = async (network: BusAddress['network']) => {
    const address = { host: '::1', port: 4222, network: network! }
    await mkdir(own.layout.bus.dir, { recursive: true })
    await writeFile(own.layout.bus.address, JSON.stringify(address))
    await ensureTls(own.layout, address, false)
  }

  test('its authority and its certificate are listed, and said 30 days before their ends, not 31', async () => {
    expect(await shown()).toEqual([])
    await listenAt({ name: '::1', names: [], given: null })
    const [authority, certificate] = await shown()
    expect([authority!.kind, certificate!.kind]).toEqual(['authority', 'certificate'])
    expect(new X509Certificate(await readFile(serverFile(own.layout))).fingerprint256).toBe(certificate!.key)
    const days = (entry?: KeyEntry) => Math.round((entry!.ends! - Date.now()) / DAY)
    expect([days(authority), days(certificate)]).toEqual([3652, 365])
    expect(await at(365 - 31)).toEqual([])
    expect(await at(365 - 29)).toEqual([
      expect.stringMatching(/^warning: certificate bus of fleet main ends at .*next, .*: troupe up$/),
    ])
    expect(await at(3652 - 29)).toContainEqual(expect.stringMatching(/^warning: authority troupe main /))
  })

  test('so are given ones, and none when it is on loopback again', async () => {
    const authority = await issue([], null)
    const { certificate, key } = await issue(['IP.1 = ::1'], authority, { notAfter: daysFromNow(90) })
    const [cert, keyFile, ca] = ['cert', 'key', 'ca'].map((name) => join(own.home, name))
    await writeFile(cert!, certificate)
    await writeFile(keyFile!, key, { mode: 0o600 })
    await writeFile(ca!, authority.certificate)
    await listenAt({ name: '::1', names: [], given: { cert: cert!, key: keyFile!, ca: ca! } })
    expect((await shown()).map((one) => one.key)).toEqual(
      [authority.certificate, certificate].map((pem) => new X509Certificate(pem).fingerprint256),
    )
    expect(await at(61)).toContainEqual(expect.stringMatching(/^warning: certificate /))
    await listenAt(undefined)
    expect(await shown()).toEqual([])
  })
})

test('rotate without --yes says what it would do, and does nothing', async () => {
  const before = await readFile(join(own.layout.keys, 'operator.json'), 'utf8')
  for (const which of ['signing', 'operator'])
    expect(await troupe('keys', 'rotate', which)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(`troupe keys rotate ${which} --yes`),
    })
  for (const [which, word] of [
    ['accounts', 'another fleet'],
    ['all', 'there are: signing, operator'],
  ])
    expect(await troupe('keys', 'rotate', which!, '--yes')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(word!),
    })
  expect(await troupe('keys', 'rotate', 'operator', '--now', '--yes')).toMatchObject({ code: 2 })
  expect(await readFile(join(own.layout.keys, 'operator.json'), 'utf8')).toBe(before)
})

test('new signing keys: this home’s credentials are minted anew, the former keys serve until what they signed has ended', async () => {
  await troupe('user', 'add', 'bob', '--expires', '90d')
  const before = (await readMinter(own.layout))!
  const old = (await readOperator(own.layout))!.tenants['main']!.signing
  const client = await claimsOf('client.json')
  expect((await troupe('keys', 'rotate', 'signing', '--yes')).code).toBe(0)
  const { signing, former } = (await readOperator(own.layout))!.tenants['main']!
  expect((await readMinter(own.layout))!.signing.client).not.toBe(before.signing.client)
  expect(await claimsOf('client.json')).toMatchObject({ issuer: signing.client, name: client.name })
  const days = (role: string) =>
    Math.round(((former!.find((one) => one.role === role)!.until * 1000 - Date.now()) / DAY) * 10) / 10
  expect(former!.find(({ role }) => role === 'client')!.key).toBe(old.client)
  expect([days('client'), days('observer')]).toEqual([90, 1])

  await rotateSigning(own.layout, { atOnce: false }, Date.now() + 2 * DAY)
  const later = (await readOperator(own.layout))!.tenants['main']!.former!
  expect(later.filter(({ role }) => role === 'client')).toHaveLength(2)
  expect(later.filter(({ role }) => role === 'observer')).toHaveLength(1)
})

test('with --now no former key serves, and who had a credential is named', async () => {
  await troupe('user', 'add', 'bob')
  const done = await troupe('keys', 'rotate', 'signing', '--now', '--yes', '--json')
  expect(JSON.parse(done.stdout)).toMatchObject({ formerUntil: null, ended: ['bob'], told: false })
  expect((await readOperator(own.layout))!.tenants['main']!.former).toEqual([])
  expect(JSON.parse((await troupe('user', 'list', '--json')).stdout)[0]).toMatchObject({ state: 'revoked' })
  expect((await troupe('user', 'add', 'bob')).code).toBe(0)
})

test('an operator’s keys are new, those of accounts stay, and so do all credentials', async () => {
  const before = (await readOperator(own.layout))!
  const client = await readFile(join(own.layout.keys, 'client.json'), 'utf8')
  const done = await troupe('keys', 'rotate', 'operator', '--yes', '--json')
  expect(JSON.parse(done.stdout)).toEqual({ rotated: 'operator', restarted: false })
  const after = (await readOperator(own.layout))!
  expect(after.keys.operator).not.toBe(before.keys.operator)
  expect(after.keys.system).not.toBe(before.keys.system)
  expect(after.tenants).toEqual(before.tenants)
  expect(await readFile(join(own.layout.keys, 'client.json'), 'utf8')).toBe(client)
})

test('accounts that the server was not told of are told with the next chance', async () => {
  const operator = await ensureOperator(own.layout)
  expect((await ensureAccounts(own.layout, operator)).changed).toBe(true)
  expect((await ensureAccounts(own.layout, operator)).changed).toBe(true)
  await noteTold(own.layout)
  expect((await ensureAccounts(own.layout, operator)).changed).toBe(false)
})
