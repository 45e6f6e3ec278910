/**
 * Revoking credentials: the act of who holds the operator's key. The server is told at once and cuts off who
 * is connected; a server that is down reads it when it starts. Owns how long a revocation is kept.
 *
 * A credential's JWT may be renewed for the same key. So a key is revoked for all that is made for it as long
 * as it could be renewed after its end; then the revocation is dropped, and refused nobody who could come.
 */
import { whenText } from '../protocol/when-text.ts'
import { Fault } from '../protocol/faults.ts'
import type { BusRole } from '../protocol/table.ts'
import { DAY_MS } from '../system/clock.ts'
import { tellIfUp } from './bus.ts'
import { lives, readIssued, writeIssued, type Issued } from './issued.ts'
import { dropPast, readOperator, writeOperator, type Operator } from './keys.ts'
import type { FleetLayout } from './layout.ts'
import { localCredentials } from './local-credentials.ts'
import { RENEWAL_MS } from './renewal.ts'

/** No credential is handed out for longer. */
export const VALIDITY_MS_MAX = 366 * DAY_MS
const PUBLIC_KEY = /^U[A-Z2-7]{55}$/

export interface Revoked {
  /** null: a key that is not in the list */
  name: string | null
  role: BusRole | null
  key: string
  /** why the bus was not told yet, or null */
  untold: Fault | null
}

/** Which of the credentials that were handed out a word may mean. */
export interface RevokeWhat {
  /** a name, or a public key (`U…`) */
  word: string
  roles: readonly BusRole[]
  /** for people: `user`, `node` */
  called: 'user' | 'node'
  /** the owner's name */
  owner: string
}

/**
 * The caller has the up lock.
 *
 * @throws {Fault} PERMISSION when the operator's key is not here, or it is this home's own credential;
 * USER_NOT_FOUND, NODE_NOT_FOUND when nothing of that name lives
 */
export async function revokeIssued(layout: FleetLayout, what: RevokeWhat, now: number): Promise<Revoked[]> {
  const operator = await operatorHere(layout)
  const issued = await readIssued(layout)
  const isKey = PUBLIC_KEY.test(what.word)
  const own = (await localCredentials(layout)).find(({ claims }) => claims.publicKey === what.word)
  if (own !== undefined) throw ownCredential(`that is the key of '${own.file}'`)
  // one that was revoked before is revoked again: its bus may not have been told
  const meant = issued.filter(
    (one) =>
      one.expires > now &&
      (isKey ? one.key === what.word : one.name === what.word && what.roles.includes(one.role)),
  )
  if (meant.length === 0 && !isKey) throw nobody(issued, what, now)
  const keys = meant.length > 0 ? meant : [{ key: what.word, expires: now + VALIDITY_MS_MAX }]
  const untold = await revokeKeys(layout, operator, keys, now)
  await writeIssued(
    layout,
    issued.map((one) => (meant.includes(one) ? { ...one, revokedAt: one.revokedAt ?? now } : one)),
    now,
  )
  return keys.map(({ key }) => {
    const one = meant.find((of) => of.key === key)
    return { name: one?.name ?? null, role: one?.role ?? null, key, untold }
  })
}

/** @throws {Fault} PERMISSION when it is not here */
export async function operatorHere(layout: FleetLayout): Promise<Operator> {
  const operator = await readOperator(layout)
  if (operator?.tenants[layout.fleet] !== undefined) return operator
  throw new Fault(
    'PERMISSION',
    `the operator's key of this bus is not here ('${layout.keys}/operator.json')`,
    {
      hint: 'whoever runs the bus can, by the public key (U…) that user list shows: troupe user revoke KEY',
    },
  )
}

/** @returns why the bus was not told yet, or null */
export async function revokeKeys(
  layout: FleetLayout,
  operator: Operator,
  keys: readonly Pick<Issued, 'key' | 'expires'>[],
  now: number,
): Promise<Fault | null> {
  const tenant = operator.tenants[layout.fleet]!
  for (const { key, expires } of keys)
    tenant.revoked[key] = Math.ceil((Math.max(now, expires) + RENEWAL_MS) / 1000)
  dropPast(operator, now)
  await writeOperator(layout, operator)
  return tellIfUp(layout, operator)
}

function codeOf(called: RevokeWhat['called']): 'USER_NOT_FOUND' | 'NODE_NOT_FOUND' {
  return called === 'user' ? 'USER_NOT_FOUND' : 'NODE_NOT_FOUND'
}

function ownCredential(why: string): Fault {
  return new Fault('PERMISSION', `${why}: this home's own credential is not revoked`, {
    hint:
      'whoever has this home can make another; to end all that its keys made: ' +
      'troupe keys rotate signing --now --yes',
  })
}

function nobody(issued: readonly Issued[], { word, roles, called, owner }: RevokeWhat, now: number): Fault {
  if (word === owner && called === 'user') return ownCredential(`'${word}' is the owner of the fleet`)
  const of = issued.filter((one) => roles.includes(one.role))
  const before = of.findLast((one) => one.name === word)
  if (before !== undefined)
    return new Fault(codeOf(called), `the credential of '${word}' ended at ${whenText(before.expires)}`)
  const names = of.filter((one) => lives(one, now)).map((one) => one.name)
  return new Fault(codeOf(called), `no credential was handed out to a ${called} '${word}'`, {
    hint:
      names.length > 0
        ? `there are: ${names.slice(0, 20).join(', ')}; one that is not in the list: by its public key (U…)`
        : 'a credential that is not in the list is revoked by its public key (U…)',
  })
}
