/**
 * The NKeys of a fleet at home: one credential file (0600) for each role and node, under TROUPE_HOME; and the
 * users of the server that follow from them. What a role may do comes from the protocol table.
 */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { inboxPrefixOf, permissionsOf } from '../protocol/permissions.ts'
import { isName } from '../protocol/names.ts'
import type { BusRole } from '../protocol/table.ts'
import { readCredentials, writeCredentials, type Credentials } from '../system/contexts.ts'
import { createUserKey, publicKeyOf } from '../transport/nats/auth.ts'
import type { ServerUser } from '../transport/server-config.ts'
import type { Places } from './places.ts'

/** `node` for an agent alone. */
export interface KeyOwner {
  role: BusRole
  node?: string
}

export function keyFile(places: Places, owner: KeyOwner): string {
  return join(places.keys, `${nameOf(owner)}.json`)
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
export async function ensureKey(places: Places, owner: KeyOwner, user: string): Promise<Credentials> {
  const there = await readKey(places, owner)
  if (there !== null) return there
  const { role, node } = owner
  const credentials: Credentials = {
    nkeySeed: createUserKey().seed,
    inboxPrefix: inboxPrefixOf(role, node ?? (role === 'coordinator' ? places.fleet : user)),
  }
  await writeCredentials(keyFile(places, owner), credentials)
  return credentials
}

/** @returns null when there is no such key */
export function readKey(places: Places, owner: KeyOwner): Promise<Credentials | null> {
  return readCredentials(keyFile(places, owner))
}

/** Every user that the server is to know: those whose keys are there. */
export async function serverUsers(places: Places, user: string): Promise<ServerUser[]> {
  const names = (await readdir(places.keys).catch(() => [])).toSorted()
  const users = await Promise.all(
    names.map(async (fileName): Promise<ServerUser | null> => {
      const owner = ownerOf(fileName)
      const credentials = owner === null ? null : await readCredentials(join(places.keys, fileName))
      if (owner === null || credentials === null) return null
      return {
        publicKey: publicKeyOf(credentials.nkeySeed),
        comment: owner.node === undefined ? `${owner.role} ${user}` : `${owner.role} of node ${owner.node}`,
        ...permissionsOf(owner.role, {
          fleet: places.fleet,
          user,
          ...(owner.node !== undefined && { node: owner.node }),
          inboxPrefix: credentials.inboxPrefix,
        }),
      }
    }),
  )
  return users.filter((serverUser) => serverUser !== null)
}
