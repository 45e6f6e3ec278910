/**
 * A new authority of the bus's certificate, for a fleet that runs. Owns its two phases, and when the second
 * one is due; that nobody is cut off by it who was given a credential.
 *
 * 1. Both authorities are pinned by all credentials of this home, and by those that are handed out from now
 * on; the former one's certificate is shown.
 * 2. When the last credential that pins the former one alone has ended, the server's certificate is signed by
 * the new one, which is pinned alone.
 *
 * Tenants' files never end: with tenants the second phase is their owners' and a person's matter.
 */
import { X509Certificate } from 'node:crypto'
import { DAY_MS } from '../system/clock.ts'
import { writeCredentials } from '../system/contexts.ts'
import {
  BEFORE_MS,
  makeNextAuthority,
  pinAuthority,
  promoteNextAuthority,
  readNextAuthority,
  readPinned,
} from './certificates.ts'
import { lives, readIssued } from './issued.ts'
import { readOperator } from './keys.ts'
import type { FleetLayout } from './layout.ts'
import { localCredentials } from './local-credentials.ts'

/** Parts of this home take what their file pins long before. */
const LEAST_MS = DAY_MS

export interface AuthorityRotation {
  /** when the second phase may come, Unix ms; null: tenants have files that pin the former one alone */
  due: number | null
  /** names of credentials, and of tenants, that would be cut off by it now */
  waitsFor: string[]
}

/** @returns null: no new authority waits */
export async function readRotation(layout: FleetLayout, now: number): Promise<AuthorityRotation | null> {
  const next = await readNextAuthority(layout)
  if (next === null) return null
  // a certificate counts seconds
  const made = Date.parse(new X509Certificate(next).validFrom) + BEFORE_MS + 1000
  const old = (await readIssued(layout)).filter((one) => lives(one, now) && one.issuedAt < made)
  const operator = await readOperator(layout)
  const tenants = Object.keys(operator?.tenants ?? {}).filter((fleet) => fleet !== layout.fleet)
  return {
    due: tenants.length > 0 ? null : Math.max(made + LEAST_MS, ...old.map(({ expires }) => expires)),
    waitsFor: [...old.map(({ name }) => name), ...tenants],
  }
}

/**
 * The first phase; done again it does what was left undone. The caller has the up lock.
 *
 * @throws {Fault} SETUP when the bus has no authority of its own
 */
export async function beginRotation(layout: FleetLayout, now: number): Promise<void> {
  await pinAuthority(layout, await makeNextAuthority(layout, new Date(now)))
  await pinLocal(layout)
}

/** The credentials of this home pin what is pinned now. */
export async function pinLocal(layout: FleetLayout): Promise<void> {
  const ca = await readPinned(layout)
  if (ca === undefined) return
  for (const { file, credentials } of await localCredentials(layout))
    await writeCredentials(file, { ...credentials, ca })
}

/** The second phase, when it is due. The server's certificate is to be made anew then. */
export async function endRotationIfDue(layout: FleetLayout, now: number): Promise<void> {
  const rotation = await readRotation(layout, now)
  if (rotation !== null && rotation.due !== null && rotation.due <= now) await promoteNextAuthority(layout)
}
