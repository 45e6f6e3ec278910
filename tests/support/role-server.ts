/**
 * A real server with one holder of each role, two where it matters, on exactly the permissions that the
 * product grants; `admin` may do anything and sees what really arrives. Made for the two permission tests.
 */
import { inboxPrefixOf } from '../../src/protocol/permissions.ts'
import type { BusRole } from '../../src/protocol/table.ts'
import type { Bus } from '../../src/transport/bus.ts'
import { connectNats } from '../../src/transport/nats/bus.ts'
import { ensureStreams } from '../../src/transport/streams.ts'
import type { Credentials } from '../../src/system/contexts.ts'
import {
  mintCredentials,
  newOperatorKeys,
  newTenant,
  operatorMode,
} from '../../src/transport/nats/tenant-accounts.ts'
import { startServerOf, testCredentials, type TestServer } from './test-server.ts'

export const HOLDERS = {
  ada: { role: 'client', name: 'ada' },
  ben: { role: 'client', name: 'ben' },
  oli: { role: 'observer', name: 'oli' },
  n0: { role: 'agent', name: 'n0' },
  n1: { role: 'agent', name: 'n1' },
  w0: { role: 'worker', name: 'r1.t.0' },
  coordinator: { role: 'coordinator', name: 'coordinator' },
} as const satisfies Record<string, { role: BusRole; name: string }>
export type HolderName = keyof typeof HOLDERS

export interface RoleServer {
  server: TestServer
  admin: Bus
  /** the same in the account of the agents */
  agentsAdmin: Bus
  bus: Record<HolderName, Bus>
  /** what the server refuses while `act` runs and is flushed, such as `publish troupe.v1.main.beat.n1` */
  refusalsOf(name: HolderName, act: (bus: Bus) => void): Promise<string[]>
  close(): Promise<void>
}

export async function startRoleServer(): Promise<RoleServer> {
  const names = Object.keys(HOLDERS) as HolderName[]
  const server = await serverOfTenant(names)
  const admin = await server.connect('admin')
  const agentsAdmin = await server.connect('agents-admin', 'anyAgent')
  await ensureStreams(admin, 'main')
  const buses = await Promise.all(
    names.map((name) =>
      connectNats({
        servers: server.url,
        credentials: {
          ...server.credentials(name),
          inboxPrefix: inboxPrefixOf(HOLDERS[name].role, HOLDERS[name].name),
        },
        name,
      }),
    ),
  )
  const bus = Object.fromEntries(names.map((name, i) => [name, buses[i]!])) as Record<HolderName, Bus>
  return {
    server,
    admin,
    agentsAdmin,
    bus,
    async refusalsOf(name, act) {
      const refused: string[] = []
      const off = bus[name].onPermissionViolation(({ operation, subject }) =>
        refused.push(`${operation} ${subject}`),
      )
      act(bus[name])
      // the server says what it refused before it answers the ping; the client tells of it in a later turn
      await bus[name].flush()
      await new Promise((resolve) => setImmediate(resolve))
      off()
      return refused
    },
    async close() {
      await Promise.all(buses.map((b) => b.close()))
      await server.close()
    },
  }
}

/**
 * The credentials are minted as the product mints them; those of the admins are signed by the account itself.
 */
async function serverOfTenant(names: HolderName[]): Promise<TestServer> {
  const { record, minter } = newTenant()
  const minted = new Map<string, Credentials>()
  for (const name of names)
    minted.set(name, await mintCredentials(minter, HOLDERS[name].role, HOLDERS[name].name))
  const open = { publish: ['>'], subscribe: ['>'] }
  minted.set('any', await testCredentials(record, 'any', open))
  minted.set('anyAgent', await testCredentials(record, 'anyAgent', { ...open, account: 'agents' }))
  const identity = await operatorMode(newOperatorKeys(), { main: record })
  return startServerOf(identity, (user) => minted.get(user)!)
}
