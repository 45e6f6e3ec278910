import { beforeAll, describe, expect, test } from 'vitest'
import type { KeyPair } from '../../../../src/system/openssl.ts'
import { newSeed } from '../../../../src/transport/nats/nkey-sign.ts'
import { openConnection } from '../../../../src/transport/nats/open-connection.ts'
import { daysFromNow, fakeBus, issue } from '../../../support/tls-server.ts'

let authority: KeyPair
let other: KeyPair
beforeAll(async () => {
  authority = await issue([], null)
  other = await issue([], null)
})

function open(url: string, ca: string | undefined = authority.certificate) {
  const credentials = { nkeySeed: newSeed('user'), inboxPrefix: '_INBOX_x', ...(ca !== undefined && { ca }) }
  return openConnection({ servers: url, credentials, name: 'x' })
}

describe.each([
  ['127.0.0.1', '127.0.0.1', 'IP.1 = 127.0.0.1'],
  ['[::1]', '::1', 'IP.1 = ::1'],
  ['localhost', '127.0.0.1', 'DNS.1 = localhost'],
])('a bus at %s', (host, listens, name) => {
  test('whose certificate has that name, of the credential’s authority: it is taken', async () => {
    const { port } = await fakeBus(await issue([name], authority), listens)
    const connection = await open(`tls://${host}:${port}`)
    expect(connection.connected).toBe(true)
    await connection.close()
  })

  test('whose certificate has other names: it is refused, and they are named', async () => {
    const { port } = await fakeBus(await issue(['DNS.1 = bus.example.org'], authority), listens)
    await expect(open(`tls://${host}:${port}`)).rejects.toMatchObject({
      code: 'CONN',
      data: { reason: 'name' },
      message: expect.stringMatching(/other names.*bus\.example\.org/),
      hint: expect.stringContaining('--listen-name'),
      retryable: false,
    })
  })
})

test('a certificate for localhost is none for 127.0.0.1, though the library leaves the address out', async () => {
  const { port } = await fakeBus(await issue(['DNS.1 = localhost'], authority))
  await expect(open(`tls://127.0.0.1:${port}`)).rejects.toMatchObject({ data: { reason: 'name' } })
})

test('of several servers each may have the certificate of all', async () => {
  const { port } = await fakeBus(await issue(['IP.1 = 127.0.0.1'], authority))
  const servers = [`tls://127.0.0.1:${port}`, 'tls://127.0.0.2:1']
  const credentials = { nkeySeed: newSeed('user'), inboxPrefix: '_INBOX_x', ca: authority.certificate }
  const connection = await openConnection({ servers, credentials, name: 'x' })
  expect(connection.connected).toBe(true)
  await connection.close()
})

test.each([
  ['of another authority', 'authority', /is not the bus of this credential.*another authority/, () => issue(['IP.1 = 127.0.0.1'], other)],
  ['that nobody signed', 'authority', /another authority/, () => issue(['IP.1 = 127.0.0.1'], null, { extensions: ['subjectAltName = @names'] })],
  [
    'that expired',
    'expired',
    /expired/,
    () => issue(['IP.1 = 127.0.0.1'], authority, { notBefore: daysFromNow(-2), notAfter: daysFromNow(-1) }),
  ],
  [
    'that is not valid yet',
    'not-yet-valid',
    /not valid yet/,
    () => issue(['IP.1 = 127.0.0.1'], authority, { notBefore: daysFromNow(1), notAfter: daysFromNow(2) }),
  ],
])('a bus with a certificate %s is refused as that', async (_, reason, message, certificate) => {
  const { port } = await fakeBus(await certificate())
  await expect(open(`tls://127.0.0.1:${port}`)).rejects.toMatchObject({
    code: 'CONN',
    message: expect.stringMatching(message),
    data: { reason },
  })
})

test.each(['nats', 'tls'])('a credential without an authority, %s://: the bus is refused as one that nobody knows', async (scheme) => {
  const { port } = await fakeBus(await issue(['IP.1 = 127.0.0.1'], authority))
  const credentials = { nkeySeed: newSeed('user'), inboxPrefix: '_INBOX_x' }
  await expect(
    openConnection({ servers: `${scheme}://127.0.0.1:${port}`, credentials, name: 'x' }),
  ).rejects.toMatchObject({ data: { reason: 'authority' }, message: expect.stringContaining('nor this machine') })
})

test.each([
  ['nats', true],
  ['tls', true],
  ['tls', false],
])('a server without TLS, %s:// and an authority in the credential: %s: it hears nothing', async (scheme, pinned) => {
  const bus = await fakeBus(null)
  const credentials = {
    nkeySeed: newSeed('user'),
    inboxPrefix: '_INBOX_x',
    ...(pinned && { ca: authority.certificate }),
  }
  await expect(
    openConnection({ servers: `${scheme}://127.0.0.1:${bus.port}`, credentials, name: 'x' }),
  ).rejects.toMatchObject({ code: 'CONN', data: { reason: 'no-tls' }, message: expect.stringContaining('speaks no TLS') })
  expect(bus.heard()).toBe('')
})

test('a server that says TLS and does not speak it is refused as that', async () => {
  const { port } = await fakeBus('mute')
  await expect(open(`tls://127.0.0.1:${port}`)).rejects.toMatchObject({ code: 'CONN', data: { reason: 'no-tls' } })
})

test('nobody is there: that has nothing to do with TLS', async () => {
  const { port } = await fakeBus(null)
  await expect(open(`tls://127.0.0.1:${port === 1024 ? 1025 : 1}`)).rejects.toMatchObject({ code: 'CONN', data: {} })
})
