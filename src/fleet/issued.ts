/**
 * The credentials that were handed out, by name: to people (`user add`) and to nodes on other machines. A
 * list for people and for revocation: the server knows nothing of it. It holds no secret.
 *
 * 1. Of one role and name one credential lives at a time.
 * 2. One that has ended, or was revoked, is kept for a week more than it could have been used.
 */
import { join } from 'node:path'
import { Fault } from '../protocol/faults.ts'
import type { BusRole } from '../protocol/table.ts'
import { DAY_MS } from '../system/clock.ts'
import { readPrivate, writePrivate } from '../system/private-file.ts'
import type { FleetLayout } from './layout.ts'

export interface Issued {
  role: BusRole
  /** of the person or the node */
  name: string
  /** `U…` */
  key: string
  /** Unix ms */
  issuedAt: number
  expires: number
  revokedAt: number | null
}

const KEPT_MS = 7 * DAY_MS

function issuedFile(layout: FleetLayout): string {
  return join(layout.keys, 'users.json')
}

export function lives({ expires, revokedAt }: Issued, now: number): boolean {
  return revokedAt === null && expires > now
}

/** Oldest first. @throws {Fault} SETUP when the list is damaged */
export async function readIssued(layout: FleetLayout): Promise<Issued[]> {
  const file = issuedFile(layout)
  const text = await readPrivate(file)
  if (text === null) return []
  try {
    const { issued } = JSON.parse(text) as { issued: Issued[] }
    if (!Array.isArray(issued)) throw new Error('it has no list')
    return issued
  } catch (error) {
    throw new Fault('SETUP', `'${file}' is damaged: ${(error as Error).message}`, {
      hint: 'bring it back from a backup; without it credentials are revoked by their public keys alone',
      cause: error,
    })
  }
}

/** The caller has the up lock. */
export function writeIssued(layout: FleetLayout, issued: readonly Issued[], now: number): Promise<void> {
  const kept = issued.filter(({ expires }) => expires + KEPT_MS > now)
  return writePrivate(issuedFile(layout), `${JSON.stringify({ issued: kept }, null, 2)}\n`)
}
