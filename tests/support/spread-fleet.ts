/**
 * A fleet over machines (netns.ts): the bus with its coordinator on one, agents on others, which share the
 * home and reach the bus by the address that they are given. Commands run on the machine of the bus.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { homeLayout, ownName } from '../../src/fleet/home.ts'
import { ensureAccounts, ensureKey, ensureOperator, keyFile } from '../../src/fleet/keys.ts'
import { saveContext } from '../../src/system/contexts.ts'
import { cacheOf } from '../../src/system/paths.ts'
import { findNatsServer } from '../../src/transport/nats-server.ts'
import { serverConfigText } from '../../src/transport/server-config.ts'
import { fleetEnv, makeHome, run, TROUPE, until, type Ran } from './fleet.ts'
import type { Machine } from './netns.ts'

export const BUS_PORT = 4222

export interface SpreadFleet {
  /** `troupe ARGS` on the machine of the bus, as the fleet's owner */
  troupe(args: string[], options?: { input?: string; timeoutMs?: number }): Promise<Ran>
  json<T = any>(args: string[]): Promise<T>
  /** an agent on that machine; it is ready when this returns */
  agent(node: string, machine: Machine, options: { url: string; args?: string[] }): Promise<ChildProcess>
  /** any program there, which ends with the machines */
  start(machine: Machine, command: string[]): ChildProcess
  /** after the machines are closed */
  remove(): Promise<void>
}

/** @param listen  address on which the bus is served, in plain text: the network is the test's own */
export async function startSpreadFleet(on: Machine, listen: string): Promise<SpreadFleet> {
  const home = await makeHome()
  const env = fleetEnv(home)
  const layout = homeLayout(env)
  const user = ownName()
  const { mode } = await ensureAccounts(layout, await ensureOperator(layout))
  for (const role of ['coordinator', 'client'] as const) await ensureKey(layout, { role }, user)
  const credentials = keyFile(layout, { role: 'client' })
  const contextFor = (name: string, url: string) =>
    saveContext(home, { name, url, fleet: layout.fleet, user, credentials }, { use: name === 'local' })
  const said = openSync(join(home, 'said'), 'a')

  const start: SpreadFleet['start'] = (machine, command) => {
    const [program, ...args] = machine.on(...command)
    return spawn(program!, args, { env, stdio: ['ignore', said, said] })
  }
  const troupe: SpreadFleet['troupe'] = (args, options = {}) => {
    const [program, ...rest] = on.on(TROUPE, ...args)
    return run(program!, rest, { ...options, env })
  }
  const fleet: SpreadFleet = {
    troupe,
    start,
    async json(args) {
      const { code, stdout, stderr } = await troupe([...args, '--json'])
      if (code !== 0) throw new Error(`troupe ${args.join(' ')} ended with ${code}: ${stderr}`)
      return JSON.parse(stdout)
    },
    async agent(node, machine, { url, args = [] }) {
      await contextFor(`of-${node}`, url)
      const child = start(machine, [TROUPE, 'agent', '--context', `of-${node}`, '--node', node, ...args])
      await until(`${node} is ready`, async () =>
        (await fleet.json<any[]>(['nodes'])).some((one) => one.node === node && one.state === 'ready'),
      ).catch((error: Error) => {
        throw new Error(`${error.message}; its parts say: ${readFileSync(join(home, 'said'), 'utf8')}`)
      })
      return child
    },
    async remove() {
      closeSync(said)
      await rm(home, { recursive: true, force: true })
    },
  }

  const local = `nats://${listen === '[::]' || listen === '0.0.0.0' ? '127.0.0.1' : listen}:${BUS_PORT}`
  await contextFor('local', local)
  await mkdir(layout.bus.store, { recursive: true })
  const text = serverConfigText({
    host: '127.0.0.1',
    port: BUS_PORT,
    serverName: layout.bus.name,
    storeDir: layout.bus.store,
    pidFile: layout.bus.pidFile,
    accountsDir: layout.bus.accounts,
    identity: mode,
  })
  await writeFile(layout.bus.config, text.replace('127.0.0.1:', `${listen}:`))
  const { path } = await findNatsServer({ env, cache: cacheOf(env) })
  start(on, [path, '-c', layout.bus.config, '-l', join(layout.bus.dir, 'log')])
  start(on, [TROUPE, 'coordinator'])
  await until('the coordinator serves', async () => (await troupe(['nodes'])).code === 0)
  return fleet
}
