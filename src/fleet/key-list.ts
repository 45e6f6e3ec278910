/**
 * All keys and credentials of a fleet that are in this home, by their public halves: when each was made and
 * when it ends, as far as that is known. Owns which of them end soon; nothing here is a secret.
 */
import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { ROLES } from '../protocol/table.ts'
import { DAY_MS } from '../system/clock.ts'
import { signerOf, type KeyKind } from '../transport/nats/nkey-sign.ts'
import { ACCOUNTS } from '../transport/nats/tenant-accounts.ts'
import { readRotation } from './authority-rotation.ts'
import { readAddress, tlsFilesOf } from './bus-address.ts'
import { certificatesIn, readPinned } from './certificates.ts'
import { lives, readIssued } from './issued.ts'
import { readMinter, readOperator, type Operator } from './keys.ts'
import type { FleetLayout } from './layout.ts'
import { localCredentials } from './local-credentials.ts'

export interface KeyEntry {
  kind:
    | 'operator'
    | 'account'
    | 'signing key'
    | 'former signing key'
    | 'authority'
    | 'former authority'
    | 'certificate'
    | 'credential'
    | 'handed out'
  name: string
  /** `O…`, `A…`, `U…`; of a certificate its SHA-256, as `openssl x509 -fingerprint` prints it */
  key: string
  /** Unix ms; null: not known */
  made: number | null
  /** Unix ms; null: it does not end by itself */
  ends: number | null
}

/** What ends within so long is said. */
const SOON_MS = 30 * DAY_MS

export async function listKeys(layout: FleetLayout, now: number): Promise<KeyEntry[]> {
  const operator = await readOperator(layout)
  const minter = await readMinter(layout)
  const made = (key: string): number | null => operator?.made?.[key] ?? null
  const local = await localCredentials(layout)
  const handedOut = (await readIssued(layout)).filter((one) => lives(one, now))
  const signing = ROLES.flatMap((role) => {
    const seed = minter?.signing[role]
    return seed === undefined ? [] : [{ name: role, key: publicKey(seed, 'account') }]
  })
  return [
    ...(operator === null ? [] : operatorEntries(layout, operator, made)),
    ...signing.map((one): KeyEntry => ({ kind: 'signing key', ...one, made: made(one.key), ends: null })),
    ...(operator?.tenants[layout.fleet]?.former ?? []).map(({ role, key, until }): KeyEntry => ({
      kind: 'former signing key',
      name: role,
      key,
      made: made(key),
      ends: until * 1000,
    })),
    ...(await certificateEntries(layout, now)),
    ...local.map(({ claims, role, node }): KeyEntry => ({
      kind: 'credential',
      name: node ?? `${role} ${claims.name}`,
      key: claims.publicKey,
      made: claims.issuedAt,
      ends: claims.expires,
    })),
    ...handedOut.map(({ name, role, key, issuedAt, expires }): KeyEntry => ({
      kind: 'handed out',
      name: `${role} ${name}`,
      key,
      made: issuedAt,
      ends: expires,
    })),
  ]
}

function operatorEntries(
  { fleet }: FleetLayout,
  { keys, tenants }: Operator,
  made: (key: string) => number | null,
): KeyEntry[] {
  const entry = (kind: KeyEntry['kind'], name: string, key: string): KeyEntry => ({
    kind,
    name,
    key,
    made: made(key),
    ends: null,
  })
  const accounts = tenants[fleet]?.accounts
  return [
    entry('operator', 'operator', publicKey(keys.operator, 'operator')),
    entry('account', 'system', publicKey(keys.system, 'account')),
    ...(accounts === undefined
      ? []
      : ACCOUNTS.map((name) => entry('account', name, publicKey(accounts[name], 'account')))),
  ]
}

/** Which authorities are pinned, whoever made them, and what the server of this home shows. */
async function certificateEntries(layout: FleetLayout, now: number): Promise<KeyEntry[]> {
  const address = await readAddress(layout)
  const shown = address === null ? undefined : tlsFilesOf(layout, address)?.cert
  const entry = (kind: KeyEntry['kind'], certificate: X509Certificate): KeyEntry => ({
    kind,
    name: /^CN=(.*)$/m.exec(certificate.subject)?.[1] ?? certificate.subject,
    key: certificate.fingerprint256,
    made: Date.parse(certificate.validFrom),
    ends: Date.parse(certificate.validTo),
  })
  // a file that is away is refused by `up`; the rest of the list is good without it
  const server = shown === undefined ? '' : await readFile(shown, 'utf8').catch(() => '')
  const rotation = await readRotation(layout, now)
  const pinned = certificatesIn((await readPinned(layout)) ?? '')
  return [
    ...pinned.map((one, i): KeyEntry => {
      const known = entry('authority', one)
      // the first one signs until the next takes its place
      const isFormer = rotation !== null && i === 0
      return isFormer ? { ...known, kind: 'former authority', ends: rotation.due } : known
    }),
    ...certificatesIn(server)
      .slice(0, 1)
      .map((one) => entry('certificate', one)),
  ]
}

function publicKey(seed: string, kind: KeyKind): string {
  return signerOf(seed, kind).publicKey
}

/** Those that end soon, or have ended. Short credentials are meant to end, and are left out. */
export function endingSoon(entries: readonly KeyEntry[], now: number): KeyEntry[] {
  return entries.filter(
    ({ kind, made, ends }) =>
      kind !== 'former signing key' &&
      kind !== 'former authority' &&
      ends !== null &&
      ends - now < SOON_MS &&
      ends - (made ?? 0) > 2 * SOON_MS,
  )
}
