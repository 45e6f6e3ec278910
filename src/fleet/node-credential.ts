/**
 * A node's credential as it is handed to another machine: one file with all that an agent needs to join. Owns
 * who mints it, and that it is a node's; its form is client/credential-file.ts'.
 */
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { credentialText, readCredentialFile, type CredentialFile } from '../client/credential-file.ts'
import { Fault } from '../protocol/faults.ts'
import { isName, toName } from '../protocol/names.ts'
import { userClaimsOf } from '../transport/nats/jwt-claims.ts'
import { mintCredentials } from '../transport/nats/tenant-accounts.ts'
import { readIssued, writeIssued } from './issued.ts'
import { readKey } from './keys.ts'
import type { FleetLayout } from './layout.ts'
import type { OwnFleet } from './own-fleet.ts'
import { minterOf, refuseBadLife } from './people.ts'

export type NodeCredential = CredentialFile & { node: string; fleetId: string }

/**
 * @throws {Fault} USAGE for a file that is no node's credential, PERMISSION when others can read it or it has
 * ended
 */
export async function readNodeCredential(path: string): Promise<NodeCredential> {
  const { file } = await readCredentialFile(path)
  const { role, user, node, fleetId } = file
  if (role !== 'agent')
    throw new Fault('USAGE', `'${path}' is the credential of a person, '${user}', not of a node`, {
      hint: 'that of a node is made by the owner of the fleet: troupe nodes invite NAME -o FILE',
    })
  if (fleetId === undefined || node === undefined)
    throw new Fault('USAGE', `'${path}' is damaged: it has no '${node === undefined ? 'node' : 'fleetId'}'`, {
      hint: 'copy it again',
    })
  return { ...file, node, fleetId }
}

/** A credential that was made for a node. */
export interface Invited {
  node: string
  /** Unix ms */
  expires: number
  /** the file's content */
  text: string
}

/**
 * Mint credentials for nodes of other machines; no server is asked. A name that has one may get another: the
 * newer one takes the place of the older in its file. The caller has the up lock.
 *
 * @throws {Fault} USAGE for a name that is none, or that of a node of this home; PERMISSION when the keys of
 * the fleet are not here
 */
export async function inviteNodes(
  { layout, context, own }: OwnFleet,
  nodes: readonly string[],
  lifeMs: number,
  now: number,
): Promise<Invited[]> {
  refuseBadLife(lifeMs)
  for (const node of nodes) await refuseBadNode(layout, node)
  const minter = await minterOf(layout, context, own)
  // a JWT counts seconds
  const expires = Math.floor((now + lifeMs) / 1000) * 1000
  const { fleet, user, url } = context
  const fleetId = await fleetIdOf(layout)
  const ends = { fleetId, expires: new Date(expires).toISOString() }
  const made = await Promise.all(
    nodes.map(async (node) => {
      const minted = await mintCredentials(minter, 'agent', node, { expires })
      const credentials = { ...minted, jwt: minted.jwt!, ...(own.ca !== undefined && { ca: own.ca }) }
      const text = credentialText({ role: 'agent', user, node, fleet, url, credentials, ...ends })
      return { node, expires, text, key: userClaimsOf(minted.jwt!)!.publicKey }
    }),
  )
  const issued = made.map(({ node, key }) => ({
    role: 'agent' as const,
    name: node,
    key,
    issuedAt: now,
    expires,
    revokedAt: null,
  }))
  await writeIssued(layout, [...(await readIssued(layout)), ...issued], now)
  return made
}

async function refuseBadNode(layout: FleetLayout, node: string): Promise<void> {
  if (!isName(node))
    throw new Fault('USAGE', `'${node}' is no name of a node: letters, digits, - and _; at most 40`, {
      hint: `write, for example: ${toName(node)}`,
    })
  if ((await readKey(layout, { role: 'agent', node })) !== null)
    throw new Fault('USAGE', `'${node}' is a node of this home, which has its credential here`, {
      hint: 'give the node of the other machine a name of its own',
    })
}

/** A fleet keeps it for ever, whatever becomes of its keys. */
async function fleetIdOf({ keys }: FleetLayout): Promise<string> {
  const file = join(keys, 'fleet-id')
  const id = randomBytes(8).toString('hex')
  await writeFile(file, `${id}\n`, { flag: 'wx', mode: 0o600 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  return (await readFile(file, 'utf8')).trim()
}
