/**
 * Three real nats-servers that are one cluster, in directories of their own that go with them. What decides
 * where they listen and whom they trust is the project's own configuration text.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pickBusPort } from '../../src/fleet/bus-port.ts'
import type { Credentials } from '../../src/system/contexts.ts'
import { cacheOf } from '../../src/system/paths.ts'
import type { Bus, StreamConfig } from '../../src/transport/bus.ts'
import { connectNats } from '../../src/transport/nats/bus.ts'
import {
  newOperatorKeys,
  newTenant,
  operatorMode,
  type OperatorMode,
} from '../../src/transport/nats/tenant-accounts.ts'
import { findNatsServer, startNatsServer, type RunningServer } from '../../src/transport/nats-server.ts'
import { serverConfigText } from '../../src/transport/server-config.ts'
import { ANY, testCredentials, until } from './test-server.ts'

export interface TestCluster {
  /** of all servers, with commas */
  url: string
  /** by name, which is that of the server on the bus */
  servers: Record<string, ClusterServer>
  dir: string
  /** to one server, or to whichever of them answers */
  connect(name: string, server?: ClusterServer): Promise<Bus>
  /** who leads a stream, and the others; waits until one leads */
  rolesOf(stream: string): Promise<{ leader: ClusterServer; followers: ClusterServer[] }>
  /** a server that wants to join with another secret; the caller stops it */
  startStranger(): Promise<ClusterServer>
  /** a stream with three copies; waits until the cluster can make one */
  ensure(config: StreamConfig): Promise<void>
  close(): Promise<void>
}

export interface ClusterServer {
  url: string
  readonly running: RunningServer
  signal(signal: NodeJS.Signals): void
  log(): Promise<string>
  /** after a kill: on the same ports, with the same store */
  start(): Promise<void>
}

const NAMES = ['a', 'b', 'c'] as const
const host = '127.0.0.1'
/** With what a URL or a configuration could read as its own. */
const SECRET = 'a "b" c@d/e:$f'

async function pickPorts(): Promise<{ port: number; route: number }> {
  return { port: await pickBusPort(), route: await pickBusPort() }
}

export async function startTestCluster(given?: {
  identity: OperatorMode
  /** of somebody who may do anything where the streams are */
  admin: Credentials
}): Promise<TestCluster> {
  const { identity, admin } = given ?? (await ownIdentity())
  const dir = await mkdtemp(join(tmpdir(), 'troupe-test-cluster-'))
  const ports: { port: number; route: number }[] = []
  for (const _ of NAMES) ports.push(await pickPorts())
  const routes = ports.map(({ route }) => ({ host, port: route }))
  const start = async (name: string, { port, route }: { port: number; route: number }, secret = SECRET) => {
    const text = serverConfigText({
      host,
      port,
      serverName: name,
      storeDir: join(dir, name, 'store'),
      pidFile: join(dir, `${name}.pid`),
      accountsDir: join(dir, name, 'accounts'),
      identity,
      cluster: { name: 'test', host, port: route, routes, trust: { secret } },
    })
    await writeFile(join(dir, `${name}.conf`), text)
    return startServer(dir, name, port)
  }
  const started = await Promise.all(
    NAMES.map(async (name, i) => [name, await start(name, ports[i]!)] as const),
  )
  const servers = Object.fromEntries(started)
  const url = NAMES.map((name) => servers[name]!.url).join(',')
  const buses: Bus[] = []
  const connect: TestCluster['connect'] = async (name, server) => {
    const bus = await connectNats({ servers: server?.url ?? url, credentials: admin, name })
    buses.push(bus)
    return bus
  }
  const asker = await connect('asker')
  return {
    url,
    servers,
    dir,
    connect,
    startStranger: async () => start('stranger', await pickPorts(), 'another'),
    async rolesOf(stream) {
      let leader: string | null = null
      await until(`${stream} is led`, async () => (leader = await askLeader(asker, stream)) !== null, 30_000)
      const { [leader!]: led, ...others } = servers
      return { leader: led!, followers: Object.values(others) }
    },
    ensure: (config) =>
      until(`there is ${config.name}`, () =>
        asker.ensureStream({ ...config, replicas: 3 }).then(
          () => true,
          () => false,
        ),
      ),
    async close() {
      for (const { signal } of Object.values(servers)) signal('SIGCONT')
      await Promise.all(buses.map((bus) => bus.close()))
      await Promise.all(Object.values(servers).map(({ running }) => running.stop()))
      await rm(dir, { recursive: true, force: true })
    },
  }
}

async function askLeader(asker: Bus, stream: string): Promise<string | null> {
  const info = await asker
    .request(`$JS.API.STREAM.INFO.${stream}`, new Uint8Array(0), { timeoutMs: 1000 })
    .catch(() => null)
  if (info === null) return null
  const { cluster } = JSON.parse(new TextDecoder().decode(info.body)) as { cluster?: { leader?: string } }
  return cluster?.leader ?? null
}

async function ownIdentity(): Promise<{ identity: OperatorMode; admin: Credentials }> {
  const { record } = newTenant()
  return {
    identity: await operatorMode(newOperatorKeys(), { main: record }),
    admin: await testCredentials(record, 'any', ANY),
  }
}

async function startServer(dir: string, name: string, port: number): Promise<ClusterServer> {
  const { path: binary } = await findNatsServer({ env: process.env, cache: cacheOf() })
  const start = (): Promise<RunningServer> =>
    startNatsServer({
      binary,
      configFile: join(dir, `${name}.conf`),
      host,
      port,
      serverName: name,
      logFile: join(dir, `${name}.log`),
      detached: false,
    })
  let running = await start()
  return {
    url: running.url,
    get running() {
      return running
    },
    signal(signal) {
      try {
        process.kill(running.pid, signal)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
      }
    },
    log: () => readFile(join(dir, `${name}.log`), 'utf8'),
    async start() {
      running = await start()
    },
  }
}
