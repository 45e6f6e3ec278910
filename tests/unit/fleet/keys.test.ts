import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  ensureAccounts,
  ensureKey,
  ensureOperator,
  keyFile,
  noteTold,
  readKey,
  readMinter,
} from '../../../src/fleet/keys.ts'
import { layoutOf, type FleetLayout } from '../../../src/fleet/layout.ts'
import { writeCredentials } from '../../../src/system/contexts.ts'
import { userClaimsOf } from '../../../src/transport/nats/jwt-claims.ts'
import { newSeed } from '../../../src/transport/nats/nkey-sign.ts'
import { mintCredentials } from '../../../src/transport/nats/tenant-accounts.ts'

let home: string
let layout: FleetLayout
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'troupe-test-keys-'))
  layout = layoutOf(home, join(home, 'local'), 'main')
})
afterEach(() => rm(home, { recursive: true, force: true }))

const n0 = { role: 'agent', node: 'n0' } as const
const old = { nkeySeed: newSeed('user'), inboxPrefix: '_INBOX.agent-n0' }

test('a credential is minted once, for its role and name, readable by its owner alone', async () => {
  await ensureOperator(layout)
  const first = await ensureKey(layout, n0, 'ada')
  expect(await ensureKey(layout, n0, 'ada')).toEqual(first)
  expect((await stat(keyFile(layout, n0))).mode & 0o777).toBe(0o600)
  const minter = (await readMinter(layout))!
  expect(userClaimsOf(first.jwt!)).toMatchObject({
    name: 'n0',
    account: minter.accounts.agents,
  })
  const week = 7 * 86_400_000
  expect(Math.abs(userClaimsOf(first.jwt!)!.expires! - Date.now() - week)).toBeLessThan(60_000)
  const client = await ensureKey(layout, { role: 'client' }, 'ada')
  expect(userClaimsOf(client.jwt!)).toMatchObject({
    name: 'ada',
    account: minter.accounts.people,
    expires: null,
  })
})

test('a key that was not made is not there, and looking makes none', async () => {
  expect(await readKey(layout, { role: 'client' })).toBeNull()
  expect(await readMinter(layout)).toBeNull()
})

test('where the keys of the fleet are not, nothing is minted, and a credential that is there is taken as it is', async () => {
  await expect(ensureKey(layout, n0, 'ada')).rejects.toMatchObject({ code: 'PERMISSION' })
  await writeCredentials(keyFile(layout, n0), old)
  expect(await ensureKey(layout, n0, 'ada')).toEqual(old)
})

test('what an earlier version or another operator left is minted anew', async () => {
  await writeCredentials(keyFile(layout, n0), old)
  await ensureOperator(layout)
  const first = await ensureKey(layout, n0, 'ada')
  expect(first.jwt).toBeDefined()
  await rm(join(layout.keys, 'operator.json'))
  await ensureOperator(layout)
  expect((await ensureKey(layout, n0, 'ada')).jwt).not.toBe(first.jwt)
})

test('the coordinator’s file mints agents and workers, and nothing else', async () => {
  await ensureOperator(layout)
  const text = await readFile(join(layout.keys, 'signing.coordinator.json'), 'utf8')
  const { signing } = JSON.parse(text) as { signing: Record<string, string> }
  const { agent, renewal, worker } = (await readMinter(layout))!.signing
  expect(signing).toEqual({ agent, renewal, worker })
})

test('the accounts are signed anew only when what they say has changed', async () => {
  const operator = await ensureOperator(layout)
  const first = await ensureAccounts(layout, operator)
  const untold = await ensureAccounts(layout, await ensureOperator(layout))
  await noteTold(layout)
  const again = await ensureAccounts(layout, await ensureOperator(layout))
  expect([first.changed, untold.changed, again.changed]).toEqual([true, true, false])
  expect([untold.mode, again.mode]).toEqual([first.mode, first.mode])
  operator.tenants['main']!.revoked['UX'] = 17
  const revoked = await ensureAccounts(layout, operator)
  expect(revoked.changed).toBe(true)
  expect(Object.keys(revoked.mode.accounts)).toEqual(Object.keys(first.mode.accounts))
})

test('a role that a later version added gets its key, and the others keep theirs', async () => {
  const operator = await ensureOperator(layout)
  const { observer, ...rest } = operator.tenants['main']!.signing
  const before = { ...operator, tenants: { main: { ...operator.tenants['main']!, signing: rest } } }
  await writeFile(join(layout.keys, 'operator.json'), JSON.stringify(before))
  const mended = await ensureOperator(layout)
  expect(mended.tenants['main']!.signing).toMatchObject(rest)
  expect(mended.tenants['main']!.signing.observer).not.toBe(observer)
  expect(await ensureOperator(layout)).toEqual(mended)
})

test('a home of three accounts gets the fourth, with its role’s key, and nothing of the others changes', async () => {
  const operator = await ensureOperator(layout)
  const minter = (await readMinter(layout))!
  const credentials = await ensureKey(layout, n0, 'ada')
  const { accounts, signing } = operator.tenants['main']!
  const { workers, ...oldAccounts } = accounts
  const { worker, ...oldSigning } = signing
  const record = { accounts: oldAccounts, signing: oldSigning, revoked: { UX: 9_000_000_000 } }
  await writeFile(
    join(layout.keys, 'operator.json'),
    JSON.stringify({ ...operator, tenants: { main: record } }),
  )
  const { workers: _account, ...oldPublic } = minter.accounts
  const { worker: _seed, ...oldSeeds } = minter.signing
  await writeFile(
    join(layout.keys, 'signing.json'),
    JSON.stringify({ accounts: oldPublic, signing: oldSeeds }),
  )

  const mended = await ensureOperator(layout)
  expect(mended.keys).toEqual(operator.keys)
  expect(mended.tenants['main']).toMatchObject(record)
  expect(mended.tenants['main']!.accounts.workers).not.toBe(workers)
  expect(mended.tenants['main']!.signing.worker).not.toBe(worker)
  expect(await ensureKey(layout, n0, 'ada')).toEqual(credentials)
  const now = (await readMinter(layout))!
  const minted = await mintCredentials(now, 'worker', 'r1.t.0')
  expect(userClaimsOf(minted.jwt!)).toMatchObject({
    name: 'r1.t.0',
    account: now.accounts.workers,
    issuer: mended.tenants['main']!.signing.worker,
  })
  const { mode, changed } = await ensureAccounts(layout, mended)
  expect([changed, Object.keys(mode.accounts)]).toEqual([
    true,
    expect.arrayContaining([now.accounts.workers]),
  ])
  expect(await ensureOperator(layout)).toEqual(mended)
})

test('the file of the signing keys is lost: new ones are made, and the accounts stay, whose streams they are', async () => {
  const { tenants } = await ensureOperator(layout)
  const before = { record: structuredClone(tenants['main']!), minter: (await readMinter(layout))! }
  await rm(join(layout.keys, 'signing.json'))
  const operator = await ensureOperator(layout)
  const minter = (await readMinter(layout))!
  expect(operator.tenants['main']!.accounts).toEqual(before.record.accounts)
  expect(minter.accounts).toEqual(before.minter.accounts)
  expect(Object.keys(minter.signing).toSorted()).toEqual(Object.keys(before.minter.signing).toSorted())
  expect(operator.tenants['main']!.signing).not.toEqual(before.record.signing)
  expect(await ensureOperator(layout)).toEqual(operator)
})

test('a file of keys that others can read is refused, with what to type', async () => {
  await ensureOperator(layout)
  await chmod(join(layout.keys, 'operator.json'), 0o644)
  await expect(ensureOperator(layout)).rejects.toMatchObject({
    code: 'PERMISSION',
    hint: expect.stringContaining('chmod 600'),
  })
})

test('a damaged file of keys is named, not taken for none', async () => {
  await ensureOperator(layout)
  await writeFile(join(layout.keys, 'operator.json'), '{')
  await expect(ensureOperator(layout)).rejects.toMatchObject({
    code: 'SETUP',
    message: expect.stringContaining('operator.json'),
  })
})
