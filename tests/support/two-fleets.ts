/**
 * Two fleets on one real server, each with a holder of every role on exactly what the product grants, and a
 * watcher in each of its accounts that may hear everything there.
 */
import type { Account } from '../../src/protocol/permissions.ts'
import { ROLES, type BusRole } from '../../src/protocol/table.ts'
import type { Credentials } from '../../src/system/contexts.ts'
import type { Bus } from '../../src/transport/bus.ts'
import { connectNats } from '../../src/transport/nats/bus.ts'
import { signerOf } from '../../src/transport/nats/nkey-sign.ts'
import {
  ACCOUNTS,
  mintCredentials,
  newOperatorKeys,
  newTenant,
  operatorMode,
  type Minter,
  type OperatorKeys,
  type TenantRecord,
} from '../../src/transport/nats/tenant-accounts.ts'
import { ensureStreams } from '../../src/transport/streams.ts'
import { startServerOf, testCredentials, type TestServer } from './test-server.ts'

export const FLEETS = ['main', 'other'] as const
export type FleetName = (typeof FLEETS)[number]

/** Two of the roles whose names matter, so that one may be taken for the other. */
const NAMES: Record<BusRole, readonly string[]> = {
  client: ['ada', 'ben'],
  observer: ['oli'],
  agent: ['n0', 'n1'],
  renewal: ['n0'],
  worker: ['r1.t.0', 'r1.t.1'],
  coordinator: ['coordinator'],
}

export interface Holder {
  fleet: FleetName
  role: BusRole
  name: string
  /** public, of its credential */
  key: string
  bus: Bus
}

export interface TwoFleets {
  server: TestServer
  keys: OperatorKeys
  tenants: Record<FleetName, { record: TenantRecord; minter: Minter }>
  holders: readonly Holder[]
  holder(fleet: FleetName, role: BusRole): Holder
  /** may do anything in its account */
  watcher(fleet: FleetName, account: Account): Bus
  connect(credentials: Credentials, name?: string): Promise<Bus>
  /** All that holders and watchers have sent is where it goes. */
  settle(): Promise<void>
  close(): Promise<void>
}

export async function startTwoFleets(): Promise<TwoFleets> {
  const keys = newOperatorKeys()
  const tenants = { main: newTenant(), other: newTenant() }
  const records = { main: tenants.main.record, other: tenants.other.record }
  const server = await startServerOf(await operatorMode(keys, records), () => {
    throw new Error('this server has no user of its own')
  })
  const buses: Bus[] = []
  const connect = async (credentials: Credentials, name = 'test'): Promise<Bus> => {
    const bus = await connectNats({ servers: server.url, credentials, name })
    buses.push(bus)
    return bus
  }
  const holders: Holder[] = []
  const watchers = new Map<string, Bus>()
  for (const fleet of FLEETS) {
    for (const role of ROLES)
      for (const name of NAMES[role]) {
        const credentials = await mintCredentials(tenants[fleet].minter, role, name)
        const key = signerOf(credentials.nkeySeed, 'user').publicKey
        holders.push({ fleet, role, name, key, bus: await connect(credentials, `${fleet} ${name}`) })
      }
    for (const account of ACCOUNTS) {
      const open = { publish: ['>'], subscribe: ['>'], account }
      watchers.set(
        `${fleet} ${account}`,
        await connect(await testCredentials(records[fleet], `watcher-${account}`, open)),
      )
    }
    await ensureStreams(watchers.get(`${fleet} core`)!, fleet)
  }
  return {
    server,
    keys,
    tenants,
    holders,
    holder: (fleet, role) => holders.find((one) => one.fleet === fleet && one.role === role)!,
    watcher: (fleet, account) => watchers.get(`${fleet} ${account}`)!,
    connect,
    async settle() {
      // the server has taken what its askers sent, then each has heard all of it; what it refused is told in
      // a later turn
      const own = [...holders.map(({ bus }) => bus), ...watchers.values()]
      for (let i = 0; i < 2; i++) await Promise.all(own.map((bus) => bus.flush()))
      await new Promise((resolve) => setImmediate(resolve))
    },
    async close() {
      await Promise.all(buses.map((bus) => bus.close()))
      await server.close()
    },
  }
}

export function titleOf({ fleet, role, name }: Holder): string {
  return `${role} ${name} of ${fleet}`
}
