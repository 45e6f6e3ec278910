/** The credentials that this home keeps for its own use: of its command line, its coordinator, its agents. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isName } from '../protocol/names.ts'
import { ROLES, type BusRole } from '../protocol/table.ts'
import { readCredentials, type Credentials } from '../system/contexts.ts'
import { userClaimsOf, type UserClaims } from '../transport/nats/jwt-claims.ts'
import type { FleetLayout } from './layout.ts'

export interface LocalCredential {
  file: string
  role: BusRole
  /** of an agent */
  node: string | null
  credentials: Credentials
  claims: UserClaims
}

/** Without those that cannot be read: each is refused where it is used. */
export async function localCredentials(layout: FleetLayout): Promise<LocalCredential[]> {
  const names = (await readdir(layout.keys).catch(() => [])).toSorted()
  const found = await Promise.all(names.map((name) => credentialOf(layout, name)))
  return found.filter((one) => one !== null)
}

async function credentialOf(layout: FleetLayout, name: string): Promise<LocalCredential | null> {
  const [role, node, ...rest] = name.replace(/\.json$/, '').split('.')
  const known = ROLES.find((of) => of === role)
  if (known === undefined || rest.length > 0 || (node !== undefined && !isName(node))) return null
  const file = join(layout.keys, name)
  const credentials = await readCredentials(file).catch(() => null)
  const claims = credentials?.jwt === undefined ? null : userClaimsOf(credentials.jwt)
  return credentials === null || claims === null
    ? null
    : { file, role: known, node: node ?? null, credentials, claims }
}
