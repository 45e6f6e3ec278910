/**
 * A real nats-server for tests, in a directory of its own that goes with it. Everything goes through the
 * project's own finder, configuration text and starter. `connect` makes connections that are closed with the
 * server.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Bus } from '../../src/transport/bus.ts'
import { connectNats } from '../../src/transport/nats/bus.ts'
import { plainUserJwt } from '../../src/transport/nats/jwt.ts'
import { newSeed, signerOf } from '../../src/transport/nats/nkey-sign.ts'
import {
  newOperatorKeys,
  newTenant,
  operatorMode,
  type OperatorMode,
  type TenantRecord,
} from '../../src/transport/nats/tenant-accounts.ts'
import type { Account } from '../../src/protocol/permissions.ts'
import { pickBusPort } from '../../src/fleet/bus-port.ts'
import { findNatsServer, startNatsServer, type RunningServer } from '../../src/transport/nats-server.ts'
import { serverConfigText } from '../../src/transport/server-config.ts'
import type { Credentials } from '../../src/system/contexts.ts'
import { cacheOf } from '../../src/system/paths.ts'

export interface TestUser {
  publish: readonly string[]
  subscribe: readonly string[]
  allowResponses?: { max: number; ttlMs: number } | null
  /** where the streams are, unless another is asked for */
  account?: Account
}

/** May do anything in its account: for tests that are not about permissions. */
export const ANY: TestUser = { publish: ['>'], subscribe: ['>'] }

export interface TestServer {
  url: string
  dir: string
  readonly running: RunningServer
  credentials(user?: string): Credentials
  connect(name: string, user?: string): Promise<Bus>
  /** kill -9, unless another way is asked for */
  kill(signal?: NodeJS.Signals): Promise<void>
  /** on the same port, with the same store */
  start(): Promise<void>
  close(): Promise<void>
}

/** @param users  by name; each gets `_INBOX_NAME` as private inbox, and permission for it */
export async function startTestServer(users: Record<string, TestUser> = {}): Promise<TestServer> {
  const { record } = newTenant()
  const minted = new Map<string, Credentials>()
  for (const [name, user] of Object.entries({ any: ANY, ...users }))
    minted.set(name, await testCredentials(record, name, user))
  const identity = await operatorMode(newOperatorKeys(), { main: record })
  return startServerOf(identity, (user) => minted.get(user)!)
}

/**
 * @param identity  the accounts that the server knows
 * @param credentialsOf  of a name that a test asks a connection for
 */
export async function startServerOf(
  identity: OperatorMode,
  credentialsOf: (user: string) => Credentials,
): Promise<TestServer> {
  const dir = await mkdtemp(join(tmpdir(), 'troupe-test-bus-'))
  const { path: binary } = await findNatsServer({ env: process.env, cache: cacheOf() })
  const host = '127.0.0.1'
  const port = await pickBusPort()
  const configFile = join(dir, 'nats.conf')
  const serverName = `test-${port}`
  await writeFile(
    configFile,
    serverConfigText({
      host,
      port,
      serverName,
      storeDir: join(dir, 'store'),
      pidFile: join(dir, 'nats.pid'),
      accountsDir: join(dir, 'accounts'),
      identity,
    }),
  )
  const start = () =>
    startNatsServer({
      binary,
      configFile,
      host,
      port,
      serverName,
      logFile: join(dir, 'nats.log'),
      detached: false,
    })
  let running = await start()
  const buses: Bus[] = []
  const credentials = (user = 'any') => credentialsOf(user)
  return {
    url: running.url,
    dir,
    get running() {
      return running
    },
    credentials,
    async connect(name, user = 'any') {
      const bus = await connectNats({ servers: running.url, credentials: credentials(user), name })
      buses.push(bus)
      return bus
    },
    async kill(signal = 'SIGKILL') {
      process.kill(running.pid, signal)
      await running.exited
    },
    async start() {
      running = await start()
    },
    async close() {
      await Promise.all(buses.map((bus) => bus.close()))
      await running.stop()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

/** Signed by the account itself, so that its lists are its own; its private inbox is `_INBOX_NAME`. */
export async function testCredentials(
  record: TenantRecord,
  name: string,
  { publish, subscribe, allowResponses = null, account = 'core' }: TestUser,
): Promise<Credentials> {
  const nkeySeed = newSeed('user')
  const inboxPrefix = `_INBOX_${name}`
  const jwt = await plainUserJwt(name, signerOf(nkeySeed, 'user').publicKey, record.accounts[account], {
    publish: [...publish],
    subscribe: [...subscribe, `${inboxPrefix}.>`],
    allowResponses,
  })
  return { nkeySeed, inboxPrefix, jwt }
}

/** Poll a condition that no event tells of; bounded. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  boundMs = 10_000,
): Promise<void> {
  const giveUpAt = performance.now() + boundMs
  while (!(await condition())) {
    if (performance.now() > giveUpAt) throw new Error(`waited ${boundMs} ms in vain until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
