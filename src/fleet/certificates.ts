/**
 * The certificates of a fleet's bus that listens on a network: the fleet's own authority, which credentials
 * pin, and the server's certificate, which `up` renews. Each is one file with its key, so that a certificate
 * never meets another's key. Owns when they are made, and for which names; openssl signs (system/openssl.ts).
 */
import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto'
import { readFile, rename, rm } from 'node:fs/promises'
import { isIP } from 'node:net'
import { dirname, join } from 'node:path'
import { Fault } from '../protocol/faults.ts'
import { DAY_MS } from '../system/clock.ts'
import { issueCertificate, type KeyPair } from '../system/openssl.ts'
import { makePrivateDirectory, readPrivate, writePrivate } from '../system/private-file.ts'
import type { FleetLayout } from './layout.ts'

const AUTHORITY_MS = 3652 * DAY_MS
const SERVER_MS = 365 * DAY_MS
/** `up` renews the server's certificate when less is left of it. */
const RENEW_MS = 30 * DAY_MS
/** The clock of another machine may be behind ours. */
export const BEFORE_MS = DAY_MS

export interface BusCertificate {
  /** PEM of the authority, which credentials pin; of two while one takes the other's place */
  authority: string
  /** made by this call: a server that runs has to read its certificate anew, credentials their authority */
  made: { authority: boolean; server: boolean }
}

function filesOf({ keys }: FleetLayout): { authority: string; next: string; server: string } {
  const at = (name: string): string => join(keys, 'tls', name)
  return { authority: at('authority.pem'), next: at('next.pem'), server: at('server.pem') }
}

/** The server's certificate and its key. */
export function serverFile(layout: FleetLayout): string {
  return filesOf(layout).server
}

/** What credentials pin: of our own or of a given certificate. No secret. */
function pinnedFile({ keys }: FleetLayout): string {
  return join(keys, 'ca.pem')
}

/** @returns undefined: nothing is pinned, the bus has no TLS or a certificate that every machine trusts */
export function readPinned(layout: FleetLayout): Promise<string | undefined> {
  return readFile(pinnedFile(layout), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
    throw error
  })
}

export function pinAuthority(layout: FleetLayout, authority: string | null): Promise<void> {
  const file = pinnedFile(layout)
  return authority === null ? rm(file, { force: true }) : writePrivate(file, authority)
}

/**
 * The fleet's own authority, and a certificate of the server for all of `names`: made, or made anew when it
 * nears its end, lacks a name, or is another authority's. The caller has the up lock.
 *
 * @param names  host names and addresses by which the bus may be reached
 * @throws {Fault} SETUP when openssl cannot make one, or the authority's file is spoilt; PERMISSION when
 * others may read or write where keys are
 */
export async function ensureCertificates(
  layout: FleetLayout,
  names: readonly string[],
  now = new Date(),
): Promise<BusCertificate> {
  const files = filesOf(layout)
  const dir = dirname(files.server)
  await makePrivateDirectory(dir)
  const known = await readAuthority(files.authority)
  const made = { authority: known === null || endOf(known) <= now, server: false }
  const authority = made.authority ? await issueCertificate(authorityOf(layout, now), null, dir) : known!
  if (made.authority) await writePrivate(files.authority, textOf(authority))

  const server = await readPair(files.server)
  made.server = server === null || !isGood(server, authority, names, now)
  if (made.server) {
    const request = serverOf(layout, names, now, endOf(authority))
    await writePrivate(files.server, textOf(await issueCertificate(request, authority, dir)))
  }
  const next = await readNextAuthority(layout)
  const { certificate } = authority
  return { authority: next === null ? certificate : bothOf(certificate, next), made }
}

/** The authority that takes the place of the one that signs now: pinned, too, and it signs nothing yet. */
export async function readNextAuthority(layout: FleetLayout): Promise<string | null> {
  return (await readAuthority(filesOf(layout).next))?.certificate ?? null
}

/**
 * Made unless it is there. The caller has the up lock.
 *
 * @returns PEM of both
 * @throws {Fault} SETUP when there is none whose place it could take
 */
export async function makeNextAuthority(layout: FleetLayout, now: Date): Promise<string> {
  const files = filesOf(layout)
  const authority = await readAuthority(files.authority)
  if (authority === null)
    throw new Fault('SETUP', 'the bus of this fleet has no authority of its own', {
      hint: 'a bus that is reached over the network has one: troupe up --listen ADDR',
      retryable: false,
    })
  const known = await readAuthority(files.next)
  if (known !== null) return bothOf(authority.certificate, known.certificate)
  const next = await issueCertificate(authorityOf(layout, now), null, dirname(files.next))
  await writePrivate(files.next, textOf(next))
  return bothOf(authority.certificate, next.certificate)
}

function bothOf(authority: string, next: string): string {
  return `${authority.trimEnd()}\n${next}`
}

/** From now on the next one signs, and the former one's key is gone. The caller has the up lock. */
export function promoteNextAuthority(layout: FleetLayout): Promise<void> {
  const files = filesOf(layout)
  return rename(files.next, files.authority)
}

function authorityOf({ fleet }: FleetLayout, now: Date): Parameters<typeof issueCertificate>[0] {
  return {
    // two fleets of one name are told apart
    commonName: `troupe ${fleet} ${randomBytes(4).toString('hex')}`,
    extensions: [
      'basicConstraints = critical, CA:TRUE, pathlen:0',
      'keyUsage = critical, keyCertSign, cRLSign',
      'subjectKeyIdentifier = hash',
    ],
    names: [],
    notBefore: new Date(now.getTime() - BEFORE_MS),
    notAfter: new Date(now.getTime() + AUTHORITY_MS),
  }
}

function serverOf(
  { fleet }: FleetLayout,
  names: readonly string[],
  now: Date,
  authorityEnd: Date,
): Parameters<typeof issueCertificate>[0] {
  return {
    commonName: `bus of fleet ${fleet}`,
    extensions: [
      'basicConstraints = critical, CA:FALSE',
      'keyUsage = critical, digitalSignature',
      'extendedKeyUsage = serverAuth',
      'subjectKeyIdentifier = hash',
      'authorityKeyIdentifier = keyid',
      'subjectAltName = @names',
    ],
    names: names.map((name, i) => `${isIP(name) === 0 ? 'DNS' : 'IP'}.${i} = ${name}`),
    notBefore: new Date(now.getTime() - BEFORE_MS),
    notAfter: new Date(Math.min(now.getTime() + SERVER_MS, authorityEnd.getTime())),
  }
}

function isGood(server: KeyPair, authority: KeyPair, names: readonly string[], now: Date): boolean {
  const certificate = new X509Certificate(server.certificate)
  const signer = new X509Certificate(authority.certificate)
  const [end, lastEnd] = [endOf(server), endOf(authority)]
  return (
    certificate.checkIssued(signer) &&
    certificate.verify(signer.publicKey) &&
    // it cannot outlive the one who signed it
    (end.getTime() - now.getTime() > RENEW_MS || end.getTime() === lastEnd.getTime()) &&
    names.every((name) => covers(certificate, name))
  )
}

/** Is the certificate good for this host name or address? */
export function covers(certificate: X509Certificate, name: string): boolean {
  return (isIP(name) === 0 ? certificate.checkHost(name) : certificate.checkIP(name)) !== undefined
}

function endOf({ certificate }: KeyPair): Date {
  return new Date(new X509Certificate(certificate).validTo)
}

function textOf({ certificate, key }: KeyPair): string {
  return `${certificate.trimEnd()}\n${key}`
}

/**
 * A new one makes all credentials that were handed out useless: not for a file that a person can mend.
 *
 * @throws {Fault} SETUP when the file is there and holds no certificate with its key
 */
async function readAuthority(file: string): Promise<KeyPair | null> {
  const authority = await readPair(file)
  if (authority !== null || (await readPrivate(file)) === null) return authority
  throw new Fault('SETUP', `'${file}' is no certificate with its key`, {
    hint: 'bring it back from a backup; or remove it: credentials that were handed out are of no use then',
    retryable: false,
  })
}

/** @returns null when it is not there, or is no certificate with its key */
async function readPair(file: string): Promise<KeyPair | null> {
  const text = (await readPrivate(file)) ?? ''
  const [certificate, key] = [pemOf(text, 'CERTIFICATE'), pemOf(text, 'PRIVATE KEY')]
  if (certificate === null || key === null) return null
  try {
    return new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key))
      ? { certificate, key }
      : null
  } catch {
    return null
  }
}

/** Those that can be read. */
export function certificatesIn(text: string): X509Certificate[] {
  const found = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  return found.flatMap((pem) => {
    try {
      return [new X509Certificate(pem)]
    } catch {
      return []
    }
  })
}

function pemOf(text: string, kind: string): string | null {
  return new RegExp(`-----BEGIN ${kind}-----[^-]*-----END ${kind}-----\n?`).exec(text)?.[0] ?? null
}
