import { X509Certificate } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { beginRotation, readRotation } from '../../../src/fleet/authority-rotation.ts'
import {
  ensureTls,
  urlOf,
  wantedAddress,
  type BusAddress,
  type ListenRequest,
} from '../../../src/fleet/bus-address.ts'
import { certificatesIn, readPinned, serverFile } from '../../../src/fleet/certificates.ts'
import { writeIssued } from '../../../src/fleet/issued.ts'
import { ensureKey, ensureOperator, writeOperator } from '../../../src/fleet/keys.ts'
import { layoutOf, type FleetLayout } from '../../../src/fleet/layout.ts'
import { parseListen } from '../../../src/fleet/listen.ts'
import { newTenant } from '../../../src/transport/nats/tenant-accounts.ts'
import { daysFromNow, issue } from '../../support/tls-server.ts'

let home: string
let layout: FleetLayout
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'troupe-test-address-'))
  layout = layoutOf(home, join(home, 'local'), 'main')
})
afterEach(() => rm(home, { recursive: true, force: true }))

const DAY = 24 * 3600 * 1000
const OWN = { names: [], given: null }
const LOOPBACK: BusAddress = { host: '127.0.0.1', port: 12_345 }
const ON_6: BusAddress = { host: '::1', port: 4222, network: { name: '::1', ...OWN } }
/** A name by which this machine can be reached surely stays one. */
const ON_ALL: BusAddress = { host: '0.0.0.0', port: 4222, network: { name: '127.0.0.1', ...OWN } }

async function kept(address: BusAddress | null): Promise<void> {
  if (address === null) return
  await mkdir(layout.bus.dir, { recursive: true })
  await writeFile(layout.bus.address, JSON.stringify(address))
}
function at(text: string): ListenRequest {
  return { at: parseListen(text) }
}

test('the url has the name by which others reach it, and says whether it is TLS', () => {
  expect([LOOPBACK, ON_6, { ...ON_ALL, network: { name: 'login1', ...OWN } }].map(urlOf)).toEqual([
    'nats://127.0.0.1:12345',
    'tls://[::1]:4222',
    'tls://login1:4222',
  ])
})

describe('where the bus is to be', () => {
  test.each([
    ['never asked: loopback, any port', null, {}, { host: '127.0.0.1', port: null }],
    ['nothing asked: as it was', LOOPBACK, {}, LOOPBACK],
    ['nothing asked: as it was, over the network', ON_6, {}, ON_6],
    ['an address', null, at('[::1]'), { ...ON_6, port: null }],
    ['the same address: at its port', ON_6, at('::1'), ON_6],
    ['the same address and port', ON_6, at('[::1]:4222'), ON_6],
    ['on loopback again', ON_6, { at: null }, { host: '127.0.0.1', port: null }],
    ['on loopback still', LOOPBACK, { at: null }, LOOPBACK],
    ['a name more', ON_6, { names: ['a.b'] }, { ...ON_6, network: { ...ON_6.network, names: ['a.b'] } }],
    ['all addresses: the known one stays its name', ON_ALL, at('0.0.0.0'), ON_ALL],
  ])('%s', async (_, before, request, wanted) => {
    await kept(before)
    expect(await wantedAddress(layout, request, {}, false)).toEqual(wanted)
  })

  test('with an address, names and certificate are what is said with it, not what was before', async () => {
    const given = { cert: '/c', key: '/k', ca: null }
    await kept({ ...ON_6, network: { name: '::1', names: ['old'], given } })
    expect(await wantedAddress(layout, { ...at('::1'), names: ['new'] }, {}, false)).toEqual({
      ...ON_6,
      network: { name: '::1', names: ['new'], given: null },
    })
  })

  test('on all addresses, and the one in the url is gone: another one is in its place', async () => {
    await kept({ ...ON_ALL, network: { name: '192.0.2.99', ...OWN } })
    const env = { TROUPE_HOST: '10.9.8.7' }
    for (const request of [{}, at('0.0.0.0')])
      expect((await wantedAddress(layout, request, env, false)).network!.name).toBe('10.9.8.7')
    await expect(wantedAddress(layout, {}, env, true)).rejects.toMatchObject({
      code: 'SETUP',
      message: expect.stringContaining('no address 192.0.2.99 any more'),
      hint: expect.stringContaining('--keep-workers'),
    })
  })

  test.each([
    ['from loopback', LOOPBACK, at('[::1]')],
    ['to loopback', ON_6, { at: null }],
    ['to another port', ON_6, at('[::1]:4223')],
    ['to another address', ON_6, at('0.0.0.0')],
    ['to the same address by another name', { ...ON_6, host: '127.0.0.1' }, at('localhost')],
  ])('%s, while parts run that know it: refused with the next step', async (_, before, request) => {
    await kept(before)
    await expect(wantedAddress(layout, request, {}, true)).rejects.toMatchObject({
      code: 'SETUP',
      message: expect.stringContaining(urlOf(before)),
      hint: expect.stringContaining('troupe down --keep-workers'),
    })
  })

  test('a name or a certificate of a bus on loopback: refused with the flag that lacks', async () => {
    for (const request of [{ names: ['x'] }, { given: { cert: '/c', key: '/k', ca: null } }])
      await expect(wantedAddress(layout, request, {}, false)).rejects.toMatchObject({
        code: 'USAGE',
        hint: expect.stringContaining('--listen'),
      })
  })

  test('a port that is taken is no place to move to', async () => {
    const server = createServer().listen(0, '::1')
    onTestFinished(() => void server.close())
    await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as AddressInfo
    await expect(wantedAddress(layout, at(`[::1]:${port}`), {}, false)).rejects.toMatchObject({
      message: expect.stringContaining(`port ${port} at ::1 is taken`),
    })
  })
})

describe('what credentials pin', () => {
  test('the fleet’s own authority, over the network; nothing on loopback', async () => {
    await ensureOperator(layout)
    expect(await ensureTls(layout, ON_6, false)).toBe(true)
    const pinned = await readPinned(layout)
    expect(pinned).toMatch(/^-----BEGIN CERTIFICATE/)
    const owner = { role: 'agent', node: 'n0' } as const
    const first = await ensureKey(layout, owner, 'ada')
    expect(first.ca).toBe(pinned)

    expect(await ensureTls(layout, ON_6, true)).toBe(false)
    expect(await ensureKey(layout, owner, 'ada')).toEqual(first)

    await ensureTls(layout, LOOPBACK, false)
    expect(await readPinned(layout)).toBeUndefined()
    const { ca: _, ...plain } = first
    expect(await ensureKey(layout, owner, 'ada')).toEqual(plain)
  })

  test('that of a given certificate, which may be none; not another one under parts that run', async () => {
    const authority = await issue([], null)
    const { certificate, key } = await issue(['DNS.1 = a.example.org'], authority)
    const [cert, keyFile, ca] = ['cert', 'key', 'ca'].map((name) => join(home, name))
    await writeFile(cert!, certificate)
    await writeFile(keyFile!, key, { mode: 0o600 })
    await writeFile(ca!, authority.certificate)
    const given = { cert: cert!, key: keyFile!, ca: ca! }
    const address = { ...ON_6, network: { name: 'a.example.org', names: [], given } }
    expect(await ensureTls(layout, address, false)).toBe(true)
    expect(await readPinned(layout)).toBe(authority.certificate)

    for (const other of [
      { ...address, network: { ...address.network, given: { ...given, ca: null } } },
      ON_6,
    ]) {
      await expect(ensureTls(layout, other, true)).rejects.toMatchObject({
        code: 'SETUP',
        hint: expect.stringContaining('--keep-workers'),
      })
      expect(await readFile(join(layout.keys, 'ca.pem'), 'utf8')).toBe(authority.certificate)
    }
    await ensureTls(
      layout,
      { ...address, network: { ...address.network, given: { ...given, ca: null } } },
      false,
    )
    expect(await readPinned(layout)).toBeUndefined()
  })

  test('a new authority: both until the last credential of the former one ends, then it alone, under parts that run', async () => {
    await ensureOperator(layout)
    await ensureTls(layout, ON_6, false)
    const now = Date.now()
    const bob = { role: 'client' as const, name: 'bob', key: 'U', issuedAt: now - 1, revokedAt: null }
    await writeIssued(layout, [{ ...bob, expires: now + 9 * DAY }], now)
    const [former] = certificatesIn((await readPinned(layout))!)
    await beginRotation(layout, now)
    await beginRotation(layout, now)
    const both = (await readPinned(layout))!
    expect(certificatesIn(both).length).toBe(2)
    expect(await readRotation(layout, now)).toEqual({ due: now + 9 * DAY, waitsFor: ['bob'] })
    const signer = async () => new X509Certificate(await readFile(serverFile(layout))).issuer

    expect(await ensureTls(layout, ON_6, true, daysFromNow(8.9))).toBe(false)
    expect([await readPinned(layout), await signer()]).toEqual([both, former!.subject])
    expect(await ensureTls(layout, ON_6, true, daysFromNow(9.1))).toBe(true)
    const [next, ...more] = certificatesIn((await readPinned(layout))!)
    expect([next!.fingerprint256, more, await signer()]).toEqual([
      certificatesIn(both)[1]!.fingerprint256,
      [],
      next!.subject,
    ])
    expect(await readRotation(layout, now)).toBeNull()
  })

  test('a tenant’s file never ends: no date for the new authority; without any credential it is a day', async () => {
    const operator = await ensureOperator(layout)
    await ensureTls(layout, ON_6, false)
    const now = Date.now()
    await beginRotation(layout, now)
    const rotation = await readRotation(layout, now)
    expect(Math.round((rotation!.due! - now) / 3600_000)).toBe(24)
    await writeOperator(layout, { ...operator, tenants: { ...operator.tenants, lab: newTenant().record } })
    expect(await readRotation(layout, now)).toEqual({ due: null, waitsFor: ['lab'] })
  })
})
