import { X509Certificate } from 'node:crypto'
import { createServer, type AddressInfo } from 'node:net'
import { hostname } from 'node:os'
import { describe, expect, onTestFinished, test } from 'vitest'
import { certificateNames, findPlace, parseListen, tryPlace } from '../../../src/fleet/listen.ts'
import { defaultInterface } from '../../../src/system/interfaces.ts'
import { issue } from '../../support/tls-server.ts'

test.each([
  ['10.0.0.5', '10.0.0.5', null],
  ['10.0.0.5:4222', '10.0.0.5', 4222],
  ['0.0.0.0', '0.0.0.0', null],
  ['0.0.0.0:1', '0.0.0.0', 1],
  ['[::]', '::', null],
  ['[::]:65535', '::', 65_535],
  ['::1', '::1', null],
  ['[::1]:4222', '::1', 4222],
  ['FD00:0:0::5', 'fd00::5', null],
  // a group, not a port: whether there is such an address is asked later
  ['fd00::5:4222', 'fd00::5:4222', null],
  ['login1', 'login1', null],
  ['Login1.Example.org.:4222', 'login1.example.org', 4222],
  ['my_host-1:80', 'my_host-1', 80],
  ['localhost', 'localhost', null],
])('--listen %s is %s, port %s', (text, host, port) => {
  expect(parseListen(text)).toEqual({ host, port })
})

describe('what cannot be listened at is refused with what to write', () => {
  test.each([
    ['', /which address/, /0\.0\.0\.0$/],
    [':4222', /which address/, /--listen 0\.0\.0\.0:4222$/],
    ['*', /which address/, /--listen 0\.0\.0\.0$/],
    ['*:4222', /which address/, /--listen 0\.0\.0\.0:4222$/],
    ['4222', /port alone/, /--listen 0\.0\.0\.0:4222/],
    ['tls://10.0.0.5:4222', /scheme/, /--listen 10\.0\.0\.5:4222$/],
    ['nats://host', /scheme/, /--listen host$/],
    ['https://host', /scheme/, /--listen host$/],
    ['host:', /'' is no port/, /1 to 65535/],
    ['host:0', /'0' is no port/, /leave it out/],
    ['host:65536', /no port/, /1 to 65535/],
    ['host:-1', /no port/, /1 to 65535/],
    ['host:nats', /'nats' is no port/, /1 to 65535/],
    ['[::1]:', /no port/, /1 to 65535/],
    ['[10.0.0.5]:4222', /no address/, /\[fd00::5\]:4222/],
    ['[host]', /no address/, /10\.0\.0\.5/],
    ['[::1', /no address/, /10\.0\.0\.5/],
    ['10.0.0', /no address/, /10\.0\.0\.5/],
    ['10.0.0.256', /no address/, /10\.0\.0\.5/],
    ['10.0.0.0/8', /no address/, /10\.0\.0\.5/],
    ['10.0.0.5,10.0.0.6', /no address/, /10\.0\.0\.5/],
    ['10.0.0.5:4222:1', /no address/, /10\.0\.0\.5/],
    ['ada@host', /no address/, /10\.0\.0\.5/],
    ['my host', /no address/, /10\.0\.0\.5/],
    ['-host', /no address/, /10\.0\.0\.5/],
    ['x\nDNS.1 = other', /no address/, /10\.0\.0\.5/],
    ['fe80::1', /link-local/, /10\.0\.0\.5/],
    ['[fe80::1%eth0]:4222', /link-local/, /10\.0\.0\.5/],
    ['fd00::1%eth0', /zone/, /10\.0\.0\.5/],
    ['::ffff:10.0.0.5', /IPv4 address itself/, /10\.0\.0\.5/],
    ['ff02::1', /one machine/, /10\.0\.0\.5/],
    ['224.0.0.1', /one machine/, /10\.0\.0\.5/],
    ['255.255.255.255', /one machine/, /10\.0\.0\.5/],
  ])('%j', (text, message, hint) => {
    expect(() => parseListen(text)).toThrow(
      expect.objectContaining({
        code: 'USAGE',
        message: expect.stringMatching(message),
        hint: expect.stringMatching(hint),
      }),
    )
  })
})

describe('a place on this machine', () => {
  test('an address of it is taken as it is, and is its own name', async () => {
    expect(await findPlace({ host: '127.0.0.1', port: null }, {})).toEqual({
      host: '127.0.0.1',
      port: null,
      name: '127.0.0.1',
    })
    const place = await findPlace({ host: '::1', port: null }, {})
    expect(place).toMatchObject({ host: '::1', name: '::1' })
    await tryPlace(place)
  })

  test('a name is the address that it has here, and stays the name', async () => {
    expect(await findPlace({ host: 'localhost', port: null }, {})).toMatchObject({
      host: '127.0.0.1',
      name: 'localhost',
    })
  })

  test('all addresses: others reach it by the main one, or by the one that TROUPE_HOST says', async () => {
    expect(await findPlace({ host: '0.0.0.0', port: null }, { TROUPE_HOST: '10.9.8.7' })).toMatchObject({
      host: '0.0.0.0',
      name: '10.9.8.7',
    })
    const { name } = await findPlace({ host: '::', port: null }, {})
    expect(name === '127.0.0.1').toBe(defaultInterface() === null)
  })

  test('a port that is taken is refused, and the same address without it is the next step', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    onTestFinished(() => void server.close())
    await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as AddressInfo
    for (const host of ['127.0.0.1', '0.0.0.0'])
      await expect(tryPlace({ host, port, name: host })).rejects.toMatchObject({
        code: 'USAGE',
        message: expect.stringContaining(`port ${port} at ${host} is taken`),
        hint: expect.stringContaining(`--listen ${host}`),
      })
  })

  test.each(['192.0.2.1', '2001:db8::1', 'fd00::5:4222'])(
    '%s, which is another machine’s, is refused with the addresses that are there',
    async (host) => {
      await expect(tryPlace({ host, port: null, name: host })).rejects.toMatchObject({
        code: 'USAGE',
        message: expect.stringContaining('no address of this machine'),
        hint: expect.stringContaining('there are: '),
      })
    },
  )

  test('a name that nobody knows is refused with the addresses that are there', async () => {
    await expect(findPlace({ host: 'no-such-host.invalid', port: null }, {})).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('does not know the name'),
    })
  })
})

test('the certificate has every name of the machine, those of others, and each once', async () => {
  const names = await certificateNames({ host: '0.0.0.0', name: '10.0.0.5' }, [
    'bus.example.org',
    'LOCALHOST',
  ])
  expect(names.slice(0, 5)).toEqual(['bus.example.org', 'localhost', '10.0.0.5', '127.0.0.1', '::1'])
  expect(names).toContain(hostname().toLowerCase())
  expect(names).not.toContain('0.0.0.0')
  expect(new Set(names).size).toBe(names.length)
  const authority = await issue([], null)
  const { certificate } = await issue(
    names.map((name, i) => `${/^[\d.]+$|:/.test(name) ? 'IP' : 'DNS'}.${i} = ${name}`),
    authority,
  )
  expect(new X509Certificate(certificate).checkIP('10.0.0.5')).toBe('10.0.0.5')
})
