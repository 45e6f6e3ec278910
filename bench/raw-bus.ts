/**
 * The floor of everything on the bus: a nats-server of the same configuration, without Troupe, and another
 * process that answers.
 */
import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheOf } from '../src/system/paths.ts'
import type { Credentials } from '../src/system/contexts.ts'
import type { Bus } from '../src/transport/bus.ts'
import { connectNats } from '../src/transport/nats/bus.ts'
import { plainUserJwt } from '../src/transport/nats/jwt.ts'
import { newSeed, signerOf } from '../src/transport/nats/nkey-sign.ts'
import {
  newOperatorKeys,
  newTenant,
  operatorMode,
  type OperatorMode,
} from '../src/transport/nats/tenant-accounts.ts'
import { pickBusPort } from '../src/fleet/bus-port.ts'
import { findNatsServer, startNatsServer, type RunningServer } from '../src/transport/nats-server.ts'
import { serverConfigText } from '../src/transport/server-config.ts'
import { diskDir } from './machine.ts'
import type { Bench } from './measure.ts'
import { timed } from './stats.ts'

/** The echo's process answers each of its connections' messages here. */
export const ECHO_SUBJECT = 'bench.echo'

/** What an echo's process is told: its argument, as JSON. */
export interface EchoOrder {
  url: string
  credentials: Credentials
  connections: number
}

export interface RawBus {
  bus: Bus
  url: string
  credentials: Credentials
  /** processes, each with so many connections that answer */
  echo(processes: number, connectionsEach: number): Promise<void>
  /** ms of each of `times` requests to the one that answers */
  roundTrips(times: number): Promise<number[]>
  end(): Promise<void>
}

export async function startRawBus({ teardown, programs }: Bench): Promise<RawBus> {
  const dir = await mkdtemp(join(diskDir(), 'troupe-bench-bus-'))
  const remove = teardown.add(() => rm(dir, { recursive: true, force: true }))
  const { record } = newTenant()
  const nkeySeed = newSeed('user')
  const any = { publish: ['>'], subscribe: ['>'], allowResponses: null }
  const jwt = await plainUserJwt('bench', signerOf(nkeySeed, 'user').publicKey, record.accounts.core, any)
  const credentials: Credentials = { nkeySeed, inboxPrefix: '_INBOX.bench', jwt }
  const server = await startServer(dir, await operatorMode(newOperatorKeys(), { bench: record }))
  const stop = teardown.add(() => server.stop())
  const bus = await connectNats({ servers: server.url, credentials, name: 'bench' })
  const close = teardown.add(() => bus.close())
  const ends: (() => Promise<void>)[] = []
  const echo = async (connections: number): Promise<void> => {
    const { kill, ready } = startEcho(programs, { url: server.url, credentials, connections })
    ends.push(teardown.add(kill))
    await ready
  }
  return {
    bus,
    url: server.url,
    credentials,
    echo: async (processes, connectionsEach) =>
      void (await Promise.all(Array.from({ length: processes }, () => echo(connectionsEach)))),
    roundTrips: (times) => roundTrips(bus, times),
    async end() {
      await close()
      for (const end of ends) await end()
      await stop()
      await remove()
    },
  }
}

/**
 * A session of its own: Ctrl-C is for us, and we end the server.
 *
 * @param configOf  the text of its configuration
 */
export async function startBenchServer(
  dir: string,
  configOf: (place: { host: string; port: number; serverName: string }) => string,
): Promise<RunningServer> {
  const configFile = join(dir, 'nats.conf')
  const { path: binary } = await findNatsServer({ env: process.env, cache: cacheOf() })
  const place = { host: '127.0.0.1', port: await pickBusPort(), serverName: 'troupe-bench' }
  await writeFile(configFile, configOf(place))
  return startNatsServer({ binary, configFile, ...place, logFile: join(dir, 'nats.log'), detached: true })
}

async function startServer(dir: string, identity: OperatorMode): Promise<RunningServer> {
  const storeDir = join(dir, 'store')
  await mkdir(storeDir)
  const [pidFile, accountsDir] = [join(dir, 'nats.pid'), join(dir, 'accounts')]
  return startBenchServer(dir, (place) =>
    serverConfigText({ ...place, storeDir, pidFile, accountsDir, identity }),
  )
}

/** @returns `ready` when all of its connections answer */
function startEcho(programs: string, order: EchoOrder): { kill(): Promise<void>; ready: Promise<void> } {
  const child = spawn(process.execPath, [join(programs, 'echo-process.mjs'), JSON.stringify(order)], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    detached: true,
  })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  return {
    kill: () => (child.kill('SIGKILL'), exited),
    ready: new Promise<void>((resolve, reject) => {
      child.once('message', () => resolve())
      child.once('exit', (code) => reject(new Error(`the echo ended with ${code}`)))
    }),
  }
}

async function roundTrips(bus: Bus, times: number): Promise<number[]> {
  const body = new Uint8Array(256)
  const values: number[] = []
  for (let i = -20; i < times; i++) {
    const ms = await timed(() => bus.request(ECHO_SUBJECT, body, { timeoutMs: 5000 }))
    if (i >= 0) values.push(ms)
  }
  return values
}
