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
import { createUserKey } from '../src/transport/nats/auth.ts'
import { pickBusPort } from '../src/fleet/bus-port.ts'
import { findNatsServer, startNatsServer } from '../src/transport/nats-server.ts'
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
  /** processes, each with so many connections that answer */
  echo(processes: number, connectionsEach: number): Promise<void>
  /** ms of each of `times` requests to the one that answers */
  roundTrips(times: number): Promise<number[]>
  end(): Promise<void>
}

export async function startRawBus({ teardown, programs }: Bench): Promise<RawBus> {
  const dir = await mkdtemp(join(diskDir(), 'troupe-bench-bus-'))
  const remove = teardown.add(() => rm(dir, { recursive: true, force: true }))
  await mkdir(join(dir, 'store'))
  const { path: binary } = await findNatsServer({ env: process.env, cache: cacheOf() })
  const { seed, publicKey } = createUserKey()
  const credentials: Credentials = { nkeySeed: seed, inboxPrefix: '_INBOX.bench' }
  const [host, port, serverName, configFile] = [
    '127.0.0.1',
    await pickBusPort(),
    'troupe-bench',
    join(dir, 'nats.conf'),
  ] as const
  await writeFile(
    configFile,
    serverConfigText({
      host,
      port,
      serverName,
      storeDir: join(dir, 'store'),
      pidFile: join(dir, 'nats.pid'),
      users: [
        {
          publicKey,
          comment: 'bench',
          publish: ['>'],
          subscribe: ['>'],
          allowResponses: null,
          account: 'core',
        },
      ],
    }),
  )
  // a session of its own: Ctrl-C is for us, and we end it
  const server = await startNatsServer({
    binary,
    configFile,
    host,
    port,
    serverName,
    logFile: join(dir, 'nats.log'),
    detached: true,
  })
  const stop = teardown.add(() => server.stop())
  const bus = await connectNats({ servers: server.url, credentials, name: 'bench' })
  const close = teardown.add(() => bus.close())
  const ends: (() => Promise<void>)[] = []

  const echo = async (connections: number): Promise<void> => {
    const order: EchoOrder = { url: server.url, credentials, connections }
    const child = spawn(process.execPath, [join(programs, 'echo-process.mjs'), JSON.stringify(order)], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      detached: true,
    })
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    ends.push(teardown.add(() => (child.kill('SIGKILL'), exited)))
    await new Promise<void>((resolve, reject) => {
      child.once('message', () => resolve())
      child.once('exit', (code) => reject(new Error(`the echo ended with ${code}`)))
    })
  }

  return {
    bus,
    echo: async (processes, connectionsEach) =>
      void (await Promise.all(Array.from({ length: processes }, () => echo(connectionsEach)))),
    async roundTrips(times) {
      const body = new Uint8Array(256)
      const values: number[] = []
      for (let i = -20; i < times; i++) {
        const ms = await timed(() => bus.request(ECHO_SUBJECT, body, { timeoutMs: 5000 }))
        if (i >= 0) values.push(ms)
      }
      return values
    },
    async end() {
      await close()
      for (const end of ends) await end()
      await stop()
      await remove()
    },
  }
}
