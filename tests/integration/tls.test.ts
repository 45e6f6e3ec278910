/**
 * A fleet that is reached over the network, as a user makes it: certificates by the real openssl, TLS by the
 * real nats-server. Where the bus listens moves from test to test; one worker lives through all of it.
 */
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { connect as connectTcp, type Socket } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readCredentials, saveContext } from '../../src/system/contexts.ts'
import { connectNats } from '../../src/transport/nats/bus.ts'
import { alive, startFleet, task, until, type Fleet, type UpInfo } from '../support/fleet.ts'
import { processesOf } from '../support/fleet-processes.ts'
import { daysFromNow, fakeBus, issue } from '../support/tls-server.ts'

let fleet: Fleet
/** It sleeps until it is killed. */
let worker: { run: string; pid: number }
function keys(name: string): string {
  return join(fleet.home, 'keys/main', name)
}

beforeAll(async () => {
  fleet = await startFleet({ up: ['--listen', '[::1]'] })
  const ran = await fleet.troupe(['launch', '-q', '-f', '-'], { input: task('stays', ['sleep', '1000']) })
  const run = ran.stdout.trim()
  expect((await fleet.troupe(['wait', run, '--for', 'running', '--timeout', '30s'])).code).toBe(0)
  worker = { run, pid: (await fleet.json(['status', run])).workers[0].pid }
})
afterAll(async () => {
  await fleet?.end()
  expect(await processesOf(fleet.home)).toEqual([])
})

/** The worker has lived through it, and new work is done. */
async function works(): Promise<void> {
  await until('the worker is known', async () => {
    const status = await fleet.json(['status', worker.run]).catch(() => null)
    return status?.workers[0]?.pid === worker.pid && status.state === 'running'
  })
  expect(await alive(worker.pid)).toBe(true)
  const ran = await fleet.troupe(['run', '--', 'echo', 'over the bus'])
  expect(ran).toMatchObject({ code: 0, stdout: expect.stringContaining('over the bus') })
}

/** Its workers stay, as the refusal says. */
async function moveTo(...flags: string[]): Promise<UpInfo> {
  expect((await fleet.troupe(['down', '--keep-workers'])).code).toBe(0)
  return (fleet.info = await fleet.json<UpInfo>(['up', '--detach', ...flags]))
}

function hostPort(url: string): { host: string; port: number } {
  const { hostname: host, port } = new URL(url)
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) }
}

async function dial(url: string): Promise<{ socket: Socket; info: string }> {
  const socket = connectTcp(hostPort(url))
  const [chunk] = (await once(socket, 'data')) as [Buffer]
  return { socket, info: chunk.toString() }
}

/** The certificate that the server shows, whoever signed it. */
async function shown(url: string): Promise<X509Certificate> {
  const { socket } = await dial(url)
  const secure = connectTls({ socket, rejectUnauthorized: false })
  await once(secure, 'secureConnect')
  const certificate = secure.getPeerX509Certificate()!
  secure.destroy()
  return certificate
}

describe('on an IPv6 address', () => {
  test('agents, coordinator and clients reach it over TLS; it does not move while it is up', async () => {
    expect(fleet.info.url).toMatch(/^tls:\/\/\[::1\]:\d+$/)
    expect((await fleet.json(['context', 'show'])).url).toBe(fleet.info.url)
    const ca = await readFile(keys('ca.pem'), 'utf8')
    for (const name of ['client', 'observer', 'coordinator', 'agent.n0'])
      expect((await readCredentials(keys(`${name}.json`)))!.ca).toBe(ca)
    const refused = await fleet.troupe(['up', '--detach', '--listen', '0.0.0.0'])
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('troupe down --keep-workers') })
    await works()
  })

  test('plain text to its port gets the server’s INFO and nothing else', async () => {
    const { socket, info } = await dial(fleet.info.url)
    expect(info).toMatch(/^INFO [^\r\n]+\r\n$/)
    expect(JSON.parse(info.slice(5))).toMatchObject({ tls_required: true })
    let more = ''
    socket.on('data', (chunk) => (more += chunk.toString()))
    socket.on('error', () => {})
    const credentials = (await readCredentials(fleet.info.credentials.client))!
    socket.write(`CONNECT ${JSON.stringify({ verbose: true, jwt: credentials.jwt })}\r\nPING\r\nSUB > 1\r\n`)
    await new Promise((resolve) => socket.once('close', resolve))
    expect(more).not.toMatch(/PONG|OK|MSG|INFO/)
  })

  test('another authority in the middle is named, and hears nothing of the credential', async () => {
    const other = await issue(['IP.1 = 127.0.0.1', 'DNS.1 = localhost'], await issue([], null))
    const middle = await fakeBus(other)
    const plain = await fakeBus(null)
    const context = await fleet.json(['context', 'show'])
    for (const [port, words] of [
      [middle.port, /is not the bus of this credential: its certificate is of another authority/],
      [plain.port, /speaks no TLS/],
    ] as const) {
      await saveContext(
        fleet.home,
        { ...context, name: 'middle', url: `tls://127.0.0.1:${port}` },
        { use: false },
      )
      const asked = await fleet.troupe(['ps', '--context', 'middle'])
      expect(asked).toMatchObject({ code: 4, stderr: expect.stringMatching(words) })
    }
    expect(plain.heard()).toBe('')
  })

  test('up renews a certificate that nears its end; nobody is cut off, and a run goes on', async () => {
    const authority = await readFile(keys('tls/authority.pem'), 'utf8')
    const near = await issue(
      ['IP.1 = ::1'],
      { certificate: authority, key: authority },
      { notAfter: daysFromNow(20) },
    )
    await writeFile(keys('tls/server.pem'), near.certificate + near.key, { mode: 0o600 })
    process.kill(fleet.info.pids.bus, 'SIGHUP')
    const daysLeft = async (): Promise<number> =>
      Math.round((Date.parse((await shown(fleet.info.url)).validTo) - Date.now()) / 86_400_000)
    await until('the old certificate is shown', async () => (await daysLeft()) === 20)
    expect(await fleet.json(['up', '--detach'])).toEqual(fleet.info)
    await until('the new certificate is shown', async () => (await daysLeft()) === 365)
    await works()
    for (const log of ['coordinator.log', 'nodes/n0/agent.log'])
      expect(await readFile(join(fleet.home, 'local/main', log), 'utf8')).not.toContain('the bus is back')
  })
})

test('a new authority while all runs: both are trusted first; by --now it alone, and who has the former one is cut off', async () => {
  const far = join(fleet.home, 'far')
  const person = async (name: string) => {
    const file = join(fleet.home, `${name}.json`)
    expect((await fleet.troupe(['user', 'add', name, '-o', file])).code).toBe(0)
    const env = { TROUPE_HOME: join(far, name) }
    expect((await fleet.troupe(['context', 'add', file], { env })).code).toBe(0)
    return async () => (await fleet.troupe(['ps'], { env })).code
  }
  const kindsOf = async () =>
    (await fleet.json(['keys', 'show'])).map(({ kind }: { kind: string }) => kind).join()
  const before = await person('before')
  const first = await fleet.json(['keys', 'rotate', 'ca', '--yes'])
  expect(first).toMatchObject({ phase: 1, waitsFor: ['before'] })
  expect(first.due).toBe(
    (await fleet.json(['keys', 'show'])).find(({ name }: { name: string }) => name === 'client before').ends,
  )
  expect(await kindsOf()).toContain('former authority,authority,certificate')
  const { fingerprint256 } = await shown(fleet.info.url)
  expect(await fleet.json(['up', '--detach'])).toEqual(fleet.info)
  expect((await shown(fleet.info.url)).fingerprint256).toBe(fingerprint256)
  const begun = Date.now()
  await until('a certificate counts seconds: it is the next one', () =>
    Promise.resolve(Date.now() > begun + 1000),
  )
  const after = await person('after')
  expect([await before(), await after()]).toEqual([0, 0])

  expect(await fleet.json(['keys', 'rotate', 'ca', '--now', '--yes'])).toMatchObject({
    phase: 2,
    cutOff: ['before'],
  })
  await until('the new certificate is shown', async () => {
    return (await shown(fleet.info.url)).fingerprint256 !== fingerprint256
  })
  expect(await kindsOf()).not.toContain('former')
  expect([await before(), await after()]).toEqual([4, 0])
  expect(await fleet.json(['up', '--detach'])).toEqual(fleet.info)
  await works()
})

test('on all addresses: every name of the machine leads there, and a name that only others know is in its certificate', async () => {
  const info = await moveTo('--listen', '0.0.0.0', '--listen-name', 'bus.example.org')
  await works()
  const { port } = hostPort(info.url)
  const credentials = await readCredentials(info.credentials.client)
  for (const host of ['localhost', '127.0.0.1', '[::1]', hostname(), hostPort(info.url).host]) {
    const bus = await connectNats({ servers: `tls://${host}:${port}`, credentials, name: 'test' })
    expect(bus.connected).toBe(true)
    await bus.close()
  }
  expect((await shown(info.url)).checkHost('bus.example.org')).toBe('bus.example.org')
})

test('at a host name, with a certificate that was given: its authority is pinned, and its renewal is read by up', async () => {
  const authority = await issue([], null)
  const put = async (days: number): Promise<void> => {
    const { certificate, key } = await issue(['DNS.1 = localhost'], authority, {
      notAfter: daysFromNow(days),
    })
    await writeFile(join(fleet.home, 'cert.pem'), certificate)
    await writeFile(join(fleet.home, 'key.pem'), key, { mode: 0o600 })
  }
  await put(5)
  await writeFile(join(fleet.home, 'root.pem'), authority.certificate)
  const [cert, key, ca] = ['cert.pem', 'key.pem', 'root.pem'].map((name) => join(fleet.home, name))
  const info = await moveTo('--listen', 'localhost', '--cert', cert!, '--key', key!, '--ca', ca!)
  expect(info.url).toMatch(/^tls:\/\/localhost:\d+$/)
  expect((await readCredentials(info.credentials.client))!.ca).toBe(authority.certificate)
  await works()
  await put(90)
  const { fingerprint256 } = new X509Certificate(await readFile(cert!))
  expect(await fleet.json(['up', '--detach'])).toEqual(info)
  await until('it is shown', async () => (await shown(info.url)).fingerprint256 === fingerprint256)
})
