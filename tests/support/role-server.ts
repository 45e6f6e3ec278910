/**
 * A real server with one holder of each role, two where it matters, on exactly the permissions that the
 * product grants; `admin` may do anything and sees what really arrives. Made for the two permission tests.
 */
import { inboxPrefixOf, permissionsOf } from '../../src/protocol/permissions.ts'
import type { BusRole } from '../../src/protocol/table.ts'
import type { Bus } from '../../src/transport/bus.ts'
import { connectNats } from '../../src/transport/nats/bus.ts'
import { ensureStreams } from '../../src/transport/streams.ts'
import { encodeUser } from '@nats-io/jwt'
import { nkeys } from 'nats'
import type { Credentials } from '../../src/system/contexts.ts'
import { mintCredentials, newTenantKeys, tenantJwts } from './operator/tenant-accounts.ts'
import { startServerOf, startTestServer, type TestServer } from './test-server.ts'

export const HOLDERS = {
  ada: { role: 'client', name: 'ada' },
  ben: { role: 'client', name: 'ben' },
  oli: { role: 'observer', name: 'oli' },
  n0: { role: 'agent', name: 'n0' },
  n1: { role: 'agent', name: 'n1' },
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

/** How the server knows who is who: by a list of NKeys, or by JWTs of a tenant's accounts. */
export type Identity = 'nkeys' | 'jwts'

export async function startRoleServer(identity: Identity = 'nkeys'): Promise<RoleServer> {
  const names = Object.keys(HOLDERS) as HolderName[]
  const server = identity === 'nkeys' ? await serverOfKeys(names) : await serverOfTenant(names)
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

function serverOfKeys(names: HolderName[]): Promise<TestServer> {
  const granted = (name: HolderName) => {
    const { role, name: who } = HOLDERS[name]
    return permissionsOf(role, { fleet: 'main', user: who, node: who, inboxPrefix: inboxPrefixOf(role, who) })
  }
  return startTestServer({
    ...Object.fromEntries(names.map((name) => [name, granted(name)])),
    anyAgent: { publish: ['>'], subscribe: ['>'], account: 'agents' },
  })
}

/**
 * The credentials are minted as the product mints them; those of the admins are signed by the account itself.
 */
async function serverOfTenant(names: HolderName[]): Promise<TestServer> {
  const keys = newTenantKeys()
  const minted = new Map<string, Credentials>()
  for (const name of names)
    minted.set(name, await mintCredentials(keys, HOLDERS[name].role, HOLDERS[name].name))
  minted.set('any', await openCredentials(keys.accounts.core, 'any'))
  minted.set('anyAgent', await openCredentials(keys.accounts.agents, 'anyAgent'))
  return startServerOf({ jwts: await tenantJwts(keys, 'main') }, (user) => minted.get(user)!)
}

/** May do anything in its account. */
export async function openCredentials(accountSeed: string, name: string): Promise<Credentials> {
  const user = nkeys.createUser()
  const jwt = await encodeUser(name, user, nkeys.fromSeed(new TextEncoder().encode(accountSeed)), {})
  return { nkeySeed: new TextDecoder().decode(user.getSeed()), inboxPrefix: `_INBOX_${name}`, jwt }
}
