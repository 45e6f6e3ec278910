/**
 * Credentials of people: minted offline with the keys of the fleet, handed out as one file. Owns what a new
 * one may be, and that a name has one at a time; the list is issued.ts, ending one is revoke.ts.
 */
import { credentialText } from '../client/credential-file.ts'
import { Fault } from '../protocol/faults.ts'
import { isName, toName } from '../protocol/names.ts'
import { whenText } from '../protocol/when-text.ts'
import type { Context, Credentials } from '../system/contexts.ts'
import { userClaimsOf } from '../transport/nats/jwt-claims.ts'
import { mintCredentials, type Minter } from '../transport/nats/tenant-accounts.ts'
import { accountOf } from '../protocol/permissions.ts'
import { lives, readIssued, writeIssued, type Issued } from './issued.ts'
import { readMinter } from './keys.ts'
import type { FleetLayout } from './layout.ts'
import { operatorHere, revokeKeys, VALIDITY_MS_MAX } from './revoke.ts'

export const PEOPLE = ['client', 'observer'] as const
export type PersonRole = (typeof PEOPLE)[number]

export interface NewPerson {
  name: string
  role: PersonRole
  expiresMs: number
  /** end the credential that the name has */
  replace: boolean
}

export interface AddedPerson extends Issued {
  /** the credential that the name had was revoked; why the bus was not told of it yet */
  replaced: { untold: Fault | null } | null
}

/**
 * The caller has the up lock.
 *
 * @param context  of this fleet: where its bus is
 * @param deliver  hands the file over; when it throws nothing was handed out, and nothing has changed
 * @throws {Fault} USAGE, EXISTS when the name has one, PERMISSION when the keys of the fleet are not here
 */
export async function addPerson(
  layout: FleetLayout,
  context: Context,
  own: Credentials,
  { name, role, expiresMs, replace }: NewPerson,
  deliver: (text: string, added: Issued) => Promise<void>,
  now: number,
): Promise<AddedPerson> {
  refuseBadPerson(name, expiresMs)
  const minter = await minterOf(layout, context, own)
  const issued = await readIssued(layout)
  const before = issued.filter(
    (one) => one.name === name && PEOPLE.some((of) => of === one.role) && lives(one, now),
  )
  if (before.length > 0 && !replace) throw taken(before[0]!)
  const operator = before.length > 0 ? await operatorHere(layout) : null

  const expires = now + expiresMs
  const minted = await mintCredentials(minter, role, name, { expires })
  const { publicKey: key } = userClaimsOf(minted.jwt!)!
  const added: Issued = { role, name, key, issuedAt: now, expires, revokedAt: null }
  await writeIssued(layout, [...issued, added], now)
  const { fleet, url } = context
  const credentials = { ...minted, jwt: minted.jwt!, ...(own.ca !== undefined && { ca: own.ca }) }
  try {
    await deliver(credentialText({ role, user: name, fleet, url, credentials }), added)
  } catch (error) {
    await writeIssued(layout, issued, now)
    throw error
  }
  if (operator === null) return { ...added, replaced: null }
  const untold = await revokeKeys(layout, operator, before, now)
  const ended = issued.map((one) => (before.includes(one) ? { ...one, revokedAt: now } : one))
  await writeIssued(layout, [...ended, added], now)
  return { ...added, replaced: { untold } }
}

function refuseBadPerson(name: string, expiresMs: number): void {
  if (!isName(name))
    throw new Fault('USAGE', `'${name}' is no name of a user: letters, digits, - and _; at most 40`, {
      hint: `write, for example: ${toName(name)}`,
    })
  refuseBadLife(expiresMs)
}

/** @throws {Fault} USAGE */
export function refuseBadLife(lifeMs: number): void {
  if (lifeMs < 1000 || lifeMs > VALIDITY_MS_MAX)
    throw new Fault('USAGE', 'a credential is good for at least a second and at most 366 days', {
      hint: 'such as: --expires 12h',
    })
}

/**
 * Keys here and a bus elsewhere would make a credential that nobody takes: fleets may have one name.
 *
 * @throws {Fault} PERMISSION when the context's fleet is not that of these keys
 */
export async function minterOf(layout: FleetLayout, context: Context, own: Credentials): Promise<Minter> {
  const minter = await readMinter(layout)
  const claims = own.jwt === undefined ? null : userClaimsOf(own.jwt)
  if (minter !== null && claims?.account === minter.accounts[accountOf('client')]) return minter
  throw new Fault(
    'PERMISSION',
    `the keys of fleet '${layout.fleet}' at ${context.url} (context '${context.name}') are not here`,
    {
      hint:
        minter === null
          ? 'its owner has them, on the machine where it was started: there it is to be done'
          : 'for the fleet of this home: add --context local',
    },
  )
}

function taken({ name, role, expires }: Issued): Fault {
  return new Fault('EXISTS', `'${name}' has a credential (${role}, until ${whenText(expires)})`, {
    hint:
      `a new one, which ends that: troupe user add ${name} --replace -o FILE; ` +
      `or end it: troupe user revoke ${name}`,
  })
}
