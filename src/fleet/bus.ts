/**
 * The bus of a local fleet: its configuration from the accounts, its start and end; where it is stands in
 * bus-address.ts. The pid file names our server, and its command line proves that the pid is not somebody
 * else's.
 */
import { mkdir, readFile } from 'node:fs/promises'
import { Fault, isFault } from '../protocol/faults.ts'
import { atomicWrite } from '../system/atomic-write.ts'
import { cacheOf } from '../system/paths.ts'
import { readCommand, type ProcIdentity } from '../system/proc.ts'
import { connectNats } from '../transport/nats/bus.ts'
import { pushAccounts } from '../transport/nats/push-accounts.ts'
import { systemCredentials, type OperatorMode } from '../transport/nats/tenant-accounts.ts'
import { answersAs, findNatsServer, startNatsServer } from '../transport/nats-server.ts'
import { serverConfigText } from '../transport/server-config.ts'
import { readAddress, tlsFilesOf, urlOf, type BusAddress, type WantedAddress } from './bus-address.ts'
import { pickBusPort } from './bus-port.ts'
import { failedWrite, isStoreDeleted, refuseUnwritable } from './bus-store.ts'
import { readPinned } from './certificates.ts'
import { ensureAccounts, ensureOperator, noteTold, readAccounts, type Operator } from './keys.ts'
import type { FleetLayout } from './layout.ts'
import { endProcess, identify } from './presence.ts'
import { rotateLog } from './spawn.ts'

/** A port that was free a moment ago is somebody else's now: so often another one is picked. */
const PORT_TRIES = 5
/** A server that is alive but does not answer for so long is ended and started anew. */
const ANSWER_MS = 5000

/** The server process of this fleet, or null. */
export async function findBus(layout: FleetLayout): Promise<ProcIdentity | null> {
  const pid = Number(await readFile(layout.bus.pidFile, 'utf8').catch(() => ''))
  const found = pid > 1 ? identify(pid) : null
  // the pid may be somebody else's by now
  return found !== null && readCommand(pid).includes(layout.bus.config) ? found : null
}

type Env = Readonly<Record<string, string | undefined>>
type Say = (line: string) => void

/** Where the bus is to be: where it is already, when it runs. */
export interface BusPlace {
  address: WantedAddress
  /** a server that runs has to read it */
  certificateIsNew: boolean
}

interface BusUp {
  pid: number
  url: string
  started: boolean
}

/**
 * A server that an earlier version configured knows a list of keys, and no reload turns that into accounts.
 *
 * @throws {Fault} SETUP when such a one runs
 */
export async function refuseListedKeys(layout: FleetLayout): Promise<void> {
  if ((await findBus(layout)) === null) return
  const text = await readFile(layout.bus.config, 'utf8').catch(() => '')
  if (!/^operator:/m.test(text))
    throw new Fault(
      'SETUP',
      'the bus of this fleet was started by an earlier version, whose keys are others',
      {
        hint: 'end it first: troupe down',
        retryable: false,
      },
    )
}

/**
 * Start it when it is not there (or does not answer, or its store is in error), and let it know its accounts.
 *
 * @param pickPort  for an address without a port
 * @throws {Fault} SETUP when there is no usable nats-server, it does not start, or its store cannot be
 * written
 */
export async function ensureBus(
  layout: FleetLayout,
  env: Env,
  say: Say,
  { address: wanted, certificateIsNew }: BusPlace,
  pickPort: (host: string) => Promise<number> = pickBusPort,
): Promise<BusUp> {
  await mkdir(layout.bus.store, { recursive: true, mode: 0o700 })
  const operator = await ensureOperator(layout)
  const { mode, changed } = await ensureAccounts(layout, operator)
  const running = await findBus(layout)
  if (running === null) return startBus(layout, env, say, wanted, pickPort)
  const known = await readAddress(layout)
  if (known === null || !(await answersAs(known.host, known.port, layout.bus.name, ANSWER_MS))) {
    say(`the bus (pid ${running.pid}) does not answer: it is ended and started again`)
    await endProcess(running, 'SIGKILL', 0)
    return startBus(layout, env, say, wanted, pickPort)
  }
  const failed = failedWrite(layout, running.pid)
  if (failed !== null) {
    await refuseUnwritable(layout)
    return restartBus(layout, env, say, failed)
  }
  if (isStoreDeleted(layout))
    say(
      `warning: the store of the bus, '${layout.bus.store}', was deleted under it: all that it holds is ` +
        'lost when it ends; when its runs are over, end the fleet: troupe down',
    )
  if (certificateIsNew) await readCertificateAnew(layout, running, { ...wanted, port: known.port })
  if (changed) await tellAccounts(layout, operator, mode, urlOf(known))
  return { pid: running.pid, url: urlOf(known), started: false }
}

/**
 * End a bus that is alive and takes no append, and start it again. As long as its store cannot be written
 * that helps nobody (refuseUnwritable comes first): the server still answers reads. The caller has the lock.
 *
 * @param why  said to people
 * @throws {Fault} SETUP when it does not start again
 */
export async function restartBus(layout: FleetLayout, env: Env, say: Say, why: string): Promise<BusUp> {
  const running = await findBus(layout)
  if (running !== null) {
    say(`the bus (pid ${running.pid}) takes no append (${why}): it is ended and started again`)
    await endProcess(running, 'SIGINT', 5000)
  }
  const known = await readAddress(layout)
  if (known === null)
    throw new Fault('SETUP', `fleet '${layout.fleet}' never had a bus here`, { hint: 'troupe up' })
  return startBus(layout, env, say, known)
}

async function startBus(
  layout: FleetLayout,
  env: Env,
  say: Say,
  wanted: WantedAddress,
  pickPort: (host: string) => Promise<number> = pickBusPort,
): Promise<BusUp> {
  const { path: binary, warning } = await findNatsServer({ env, cache: cacheOf(env) })
  if (warning !== null) say(`warning: ${warning}`)
  for (let tries = 1; ; tries++) {
    const address = { ...wanted, port: wanted.port ?? (await pickPort(wanted.host)) }
    await writeConfig(layout, address)
    rotateLog(layout.bus.log)
    try {
      const server = await startNatsServer({
        binary,
        configFile: layout.bus.config,
        host: address.host,
        port: address.port,
        serverName: layout.bus.name,
        logFile: layout.bus.log,
        detached: true,
      })
      await atomicWrite(layout.bus.address, JSON.stringify(address))
      await noteTold(layout)
      return { pid: server.pid, url: urlOf(address), started: true }
    } catch (error) {
      // with a known address it must be that one: agents and contexts have it
      if (
        wanted.port !== null ||
        tries === PORT_TRIES ||
        !isFault(error) ||
        !error.message.includes('address already in use')
      )
        throw error
    }
  }
}

async function writeConfig(layout: FleetLayout, address: BusAddress): Promise<void> {
  const identity = await readAccounts(layout)
  if (identity === null)
    throw new Fault('SETUP', `the accounts of fleet '${layout.fleet}' are not here`, { hint: 'troupe up' })
  await atomicWrite(
    layout.bus.config,
    serverConfigText({
      host: address.host,
      port: address.port,
      serverName: layout.bus.name,
      storeDir: layout.bus.store,
      pidFile: layout.bus.pidFile,
      accountsDir: layout.bus.accounts,
      identity,
      tls: tlsFilesOf(layout, address),
    }),
  )
}

/** Nobody who is connected is cut off. */
async function readCertificateAnew(
  layout: FleetLayout,
  running: ProcIdentity,
  address: BusAddress,
): Promise<void> {
  await writeConfig(layout, address)
  await atomicWrite(layout.bus.address, JSON.stringify(address))
  process.kill(running.pid, 'SIGHUP')
}

/**
 * Tell the running server of its accounts. Nobody who is connected is cut off, unless revoked.
 *
 * @throws {Fault} CONN, TIMEOUT, FAILED when it does not take them
 */
async function tellAccounts(
  layout: FleetLayout,
  operator: Operator,
  { accounts }: OperatorMode,
  url: string,
): Promise<void> {
  const ca = await readPinned(layout)
  const bus = await connectNats({
    servers: url,
    credentials: { ...(await systemCredentials(operator.keys, Date.now())), ...(ca !== undefined && { ca }) },
    name: `troupe: the operator of ${layout.bus.name}`,
  })
  try {
    await pushAccounts(bus, Object.values(accounts))
    await noteTold(layout)
  } finally {
    await bus.close()
  }
}

/**
 * Let the bus know what the operator changed, if it is up; one that is down reads it when it starts.
 *
 * @returns why it was not told, or null
 * @throws {Fault} FAILED when it takes an account not
 */
export async function tellIfUp(layout: FleetLayout, operator: Operator): Promise<Fault | null> {
  const { mode } = await ensureAccounts(layout, operator)
  const known = await readAddress(layout)
  if (known === null) return new Fault('CONN', 'this fleet never had a bus here')
  try {
    await tellAccounts(layout, operator, mode, urlOf(known))
    return null
  } catch (error) {
    if (isFault(error, 'CONN') || isFault(error, 'TIMEOUT')) return error
    throw error
  }
}

/**
 * @returns the pid that was ended, or null when none was there. @throws {Fault} FAILED when it does not end
 */
export async function endBus(layout: FleetLayout): Promise<number | null> {
  const running = await findBus(layout)
  if (running === null) return null
  if (!(await endProcess(running, 'SIGINT', 5000)))
    throw new Fault('FAILED', `the bus (pid ${running.pid}) does not end`)
  return running.pid
}
