/**
 * A certificate that somebody else made for the bus (`--cert`, `--key`, `--ca`): looked at before a server is
 * given it, since a server says little of what is wrong. The files stay where they are, and are read anew by
 * the next `up`.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { Fault } from '../protocol/faults.ts'
import { readPrivate } from '../system/private-file.ts'
import { covers } from './certificates.ts'

/** Paths. */
export interface GivenCertificate {
  cert: string
  key: string
  /** what credentials pin; null: whatever the reader's machine trusts */
  ca: string | null
}

/**
 * @param names  which the certificate has to have
 * @returns PEM of the authority, or null
 * @throws {Fault} USAGE for what does not fit together, PERMISSION for a key that others can read
 */
export async function checkGiven(
  { cert, key, ca }: GivenCertificate,
  names: readonly string[],
  now = new Date(),
): Promise<string | null> {
  const [leaf, ...chain] = certificatesOf(cert, await read(cert))
  const privateKey = await readPrivate(key)
  if (privateKey === null) throw new Fault('USAGE', `--key: there is no '${key}'`)
  if (!fits(leaf!, key, privateKey))
    throw new Fault('USAGE', `the key '${key}' is not that of the certificate '${cert}'`)
  if (new Date(leaf!.validTo) <= now)
    throw new Fault('USAGE', `the certificate '${cert}' expired (${leaf!.validTo})`)
  const missing = names.filter((name) => !covers(leaf!, name))
  if (missing.length > 0)
    throw new Fault(
      'USAGE',
      `the certificate '${cert}' is not for ${missing.join(', ')} but for ${leaf!.subjectAltName ?? 'no name'}`,
      { hint: 'listen at a name that it has: --listen NAME' },
    )
  if (ca === null) return null
  const authority = await read(ca)
  if (!leadsTo(leaf!, chain, certificatesOf(ca, authority)))
    throw new Fault('USAGE', `the certificate '${cert}' is not one of the authority '${ca}'`, {
      hint: 'certificates in between stand in the certificate’s file, after it',
    })
  return authority
}

async function read(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((error: unknown) => {
    throw new Fault('USAGE', `'${file}' cannot be read: ${(error as Error).message}`, { cause: error })
  })
}

/** At least one. */
function certificatesOf(file: string, text: string): X509Certificate[] {
  try {
    const found = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
    if (found.length > 0) return found.map((pem) => new X509Certificate(pem))
  } catch {
    // it looks like one
  }
  throw new Fault('USAGE', `'${file}' holds no certificate (PEM)`)
}

function fits(certificate: X509Certificate, file: string, key: string): boolean {
  try {
    return certificate.checkPrivateKey(createPrivateKey(key))
  } catch (error) {
    throw new Fault('USAGE', `'${file}' holds no private key without a pass phrase (PEM)`, { cause: error })
  }
}

function leadsTo(
  certificate: X509Certificate,
  between: readonly X509Certificate[],
  authorities: readonly X509Certificate[],
): boolean {
  const signed = (by: X509Certificate): boolean =>
    certificate.checkIssued(by) && certificate.verify(by.publicKey)
  if (authorities.some(signed)) return true
  const next = between.find(signed)
  return (
    next !== undefined &&
    leadsTo(
      next,
      between.filter((other) => other !== next),
      authorities,
    )
  )
}
