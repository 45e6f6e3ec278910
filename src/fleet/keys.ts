/**
 * The NKeys of a local fleet: a credential file (0600) for each role and node, under TROUPE_HOME, and the
 * users of the server that follow from them. The protocol table says what a role may do.
 */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { inboxPrefixOf, permissionsOf } from '../protocol/permissions.ts'
import { isName } from '../protocol/names.ts'
import type { BusRole } from '../protocol/table.ts'
import { readCredentials, writeCredentials, type Credentials } from '../system/contexts.ts'
import { createUserKey, publicKeyOf } from '../transport/nats/auth.ts'
import type { ServerUser } from '../transport/server-config.ts'
import type { FleetLayout } from './layout.ts'

/** `node` for an agent alone. */
export interface KeyOwner {
  role: BusRole
  node?: string
}

export function keyFile(layout: FleetLayout, owner: KeyOwner): string {
  return join(layout.keys, `${nameOf(owner)}.json`)
}
function nameOf({ role, node }: KeyOwner): string {
  return node === undefined ? role : `${role}.${node}`
}

function ownerOf(fileName: string): KeyOwner | null {
  const [role, node, ...rest] = fileName.replace(/\.json$/, '').split('.')
  if (!fileName.endsWith('.json') || rest.length > 0) return null
  if (role === 'agent') return node !== undefined && isName(node) ? { role, node } : null
  return node === undefined && (role === 'client' || role === 'observer' || role === 'coordinator')
    ? { role }
    : null
}

/** Read the owner's credentials, made first when they are not there. */
export async function ensureKey(layout: FleetLayout, owner: KeyOwner, user: string): Promise<Credentials> {
  const there = await readKey(layout, owner)
  if (there !== null) return there
  const { role, node } = owner
  const credentials: Credentials = {
    nkeySeed: createUserKey().seed,
    inboxPrefix: inboxPrefixOf(role, node ?? (role === 'coordinator' ? layout.fleet : user)),
  }
  await writeCredentials(keyFile(layout, owner), credentials)
  return credentials
}

/** @returns null when there is no such key */
export function readKey(layout: FleetLayout, owner: KeyOwner): Promise<Credentials | null> {
  return readCredentials(keyFile(layout, owner))
}

/** Every user that the server is to know: those whose keys are there. */
export async function serverUsers(layout: FleetLayout, user: string): Promise<ServerUser[]> {
  const names = (await readdir(layout.keys).catch(() => [])).toSorted()
  const users = await Promise.all(
    names.map(async (fileName): Promise<ServerUser | null> => {
      const owner = ownerOf(fileName)
      const credentials = owner === null ? null : await readCredentials(join(layout.keys, fileName))
      if (owner === null || credentials === null) return null
      return {
        publicKey: publicKeyOf(credentials.nkeySeed),
        comment: owner.node === undefined ? `${owner.role} ${user}` : `${owner.role} of node ${owner.node}`,
        ...permissionsOf(owner.role, {
          fleet: layout.fleet,
          user,
          ...(owner.node !== undefined && { node: owner.node }),
          inboxPrefix: credentials.inboxPrefix,
        }),
      }
    }),
  )
  return users.filter((serverUser) => serverUser !== null)
}
