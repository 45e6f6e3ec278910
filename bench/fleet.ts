/**
 * A real fleet of the built command line in a home of its own, as a user would bring it up: bus, coordinator
 * and agents are processes. One connection with the client's credential; it ends with the measurement.
 */
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { troupeOn, type Troupe } from '../src/client/troupe.ts'
import { layoutOf, type FleetLayout } from '../src/fleet/layout.ts'
import type { UpInfo } from '../src/fleet/up.ts'
import { readCredentials } from '../src/system/contexts.ts'
import type { Bus } from '../src/transport/bus.ts'
import { messengerOn, type Messenger } from '../src/transport/messenger.ts'
import { connectNats } from '../src/transport/nats/bus.ts'
import { factsOn, type Facts } from './facts.ts'
import { diskDir } from './machine.ts'
import type { Bench } from './measure.ts'

export interface BenchFleet {
  home: string
  layout: FleetLayout
  env: NodeJS.ProcessEnv
  info: UpInfo
  bus: Bus
  messenger: Messenger
  troupe: Troupe
  facts: Facts
  end(): Promise<void>
}

/** Where a fleet is going to be; its directory is there, nothing else. */
export async function makeLayout({
  teardown,
}: Bench): Promise<{ layout: FleetLayout; env: NodeJS.ProcessEnv; remove: () => Promise<void> }> {
  const home = await mkdtemp(join(diskDir(), 'troupe-bench-'))
  const remove = teardown.add(() => rm(home, { recursive: true, force: true }))
  const local = join(home, 'local')
  return {
    layout: layoutOf(home, local, 'main'),
    env: { ...process.env, TROUPE_HOME: home, TROUPE_LOCAL: local },
    remove,
  }
}

/** A session of its own: Ctrl-C is for us, and we end it. */
function troupe(bench: Bench, env: NodeJS.ProcessEnv, args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(join(bench.root, 'bin/troupe'), args, {
      env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (chunk) => (stdout += chunk))
    child.stderr.on('data', (chunk) => (stderr += chunk))
    child.once('error', reject)
    child.once('close', (code) =>
      code === 0
        ? resolve(stdout)
        : reject(new Error(`troupe ${args.join(' ')} ended with ${code}: ${stderr.trim()}`)),
    )
  })
}

export async function startFleet(
  bench: Bench,
  agents: number,
  options: { made?: Awaited<ReturnType<typeof makeLayout>>; args?: readonly string[] } = {},
): Promise<BenchFleet> {
  const { made, args = [] } = options
  const { layout, env, remove } = made ?? (await makeLayout(bench))
  const down = bench.teardown.add(() => troupe(bench, env, ['down']))
  const info = JSON.parse(
    await troupe(bench, env, ['up', '--agents', String(agents), '--detach', '--json', ...args]),
  ) as UpInfo
  const bus = await connectNats({
    servers: info.url,
    credentials: await readCredentials(info.credentials.client),
    name: 'troupe bench',
  })
  const close = bench.teardown.add(() => bus.close())
  const messenger = messengerOn(bus, info.fleet)
  return {
    home: layout.home,
    layout,
    env,
    info,
    bus,
    messenger,
    troupe: troupeOn({ messenger, user: info.user }),
    facts: factsOn(bus, info.fleet),
    async end() {
      await close()
      await down()
      await remove()
    },
  }
}

/** A launch document of one role, `main`. */
export function task(name: string, command: readonly string[], role: object = {}): Record<string, unknown> {
  return { apiVersion: 'troupe/v1', name, roles: { main: { kind: 'task', command, ...role } } }
}
