/**
 * The file that hands a credential to a person or a node on another machine: where the bus is, which fleet,
 * and the credential itself, in one JSON. Owns its form and what is said of one that is of no use; who writes
 * such a file is said by the keys of the fleet (fleet/issued.ts).
 */
import * as z from 'zod'
import { Fault } from '../protocol/faults.ts'
import { isName } from '../protocol/names.ts'
import { whenText } from '../protocol/when-text.ts'
import { readPrivate } from '../system/private-file.ts'
import { userClaimsOf, type UserClaims } from '../transport/nats/jwt-claims.ts'
import { signerOf } from '../transport/nats/nkey-sign.ts'

const API_VERSION = 'troupe/v1'
const BYTES_MAX = 256 * 1024
const name = z.string().refine(isName, 'no name: letters, digits, - and _; at most 40')

/** Fields of later versions are passed over. */
const CredentialFile = z.object({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal('credential'),
  role: z.enum(['client', 'observer', 'agent']),
  /** the person; in an agent's the owner of the fleet */
  user: name,
  /** in an agent's alone */
  node: name.optional(),
  /** in an agent's alone: tells fleets of one name apart */
  fleetId: z
    .string()
    .regex(/^[a-z0-9]{8,32}$/, 'no id of a fleet')
    .optional(),
  fleet: name,
  /** `nats://host:port` or `tls://host:port`, or several with commas */
  url: z.string().refine(isUrl, 'no address: nats://host:port or tls://host:port, several with commas'),
  credentials: z.object({
    nkeySeed: z.string(),
    inboxPrefix: z.string().regex(/^_INBOX[A-Za-z0-9_.-]*[A-Za-z0-9_-]$/, 'no prefix of inboxes'),
    jwt: z.string(),
    ca: z.string().optional(),
  }),
  /** ISO 8601, for people: the JWT says it */
  expires: z.string().optional(),
})
export type CredentialFile = z.infer<typeof CredentialFile>

function isUrl(text: string): boolean {
  return text.split(',').every((url) => /^(nats|tls):\/\/[^/\s]+$/.test(url) && URL.canParse(url))
}

export function credentialText(file: Omit<CredentialFile, 'apiVersion' | 'kind'>): string {
  return `${JSON.stringify({ apiVersion: API_VERSION, kind: 'credential', ...file }, null, 2)}\n`
}

export interface ReadCredential {
  file: CredentialFile
  claims: UserClaims
}

/**
 * @throws {Fault} USAGE for what is no such file, PERMISSION for one that others can read, that has ended, or
 * whose seed is not that of its JWT
 */
export async function readCredentialFile(path: string, now = Date.now()): Promise<ReadCredential> {
  return parseCredential(await readNamedFile(path), `'${path}'`, now)
}

/**
 * A file with a secret that a person has named.
 *
 * @throws {Fault} USAGE when it is not there or cannot be read, PERMISSION when others can read it
 */
export async function readNamedFile(path: string): Promise<string> {
  const text = await readPrivate(path).catch((error: unknown) => {
    if (error instanceof Fault) throw error
    throw new Fault('USAGE', `'${path}' cannot be read: ${(error as Error).message}`, { cause: error })
  })
  if (text === null) throw new Fault('USAGE', `there is no '${path}'`)
  return text
}

function newOne({ role, node }: CredentialFile): string {
  const make = role === 'agent' ? `nodes invite ${node}` : 'user add NAME --replace'
  return `a new one is made by the owner of the fleet: troupe ${make} -o FILE`
}

/**
 * @param named  the file, for people
 * @throws {Fault} as readCredentialFile
 */
export function parseCredential(text: string, named: string, now = Date.now()): ReadCredential {
  const refuse = (why: string, hint?: string): never => {
    throw new Fault('USAGE', `${named} is no credential file: ${why}`, hint === undefined ? {} : { hint })
  }
  if (text.length > BYTES_MAX) return refuse('it is too large')
  if (text.trim() === '') return refuse('it is empty', 'was it written to the end? copy it again')
  if (text.includes('-----BEGIN NATS USER JWT-----'))
    return refuse(
      'it is a .creds file, which does not say where the bus is',
      'take the file that the owner of the fleet made by: troupe user add NAME -o FILE',
    )
  const file = formOf(text, refuse)
  const claims = userClaimsOf(file.credentials.jwt)
  if (claims === null) return refuse('its JWT is damaged, or no user’s', 'copy it again')
  refuseMismatch(file, claims, named)
  if (claims.expires !== null && claims.expires <= now)
    throw new Fault('PERMISSION', `the credential in ${named} ended at ${whenText(claims.expires)}`, {
      hint: newOne(file),
      data: { reason: 'expired' },
    })
  return { file, claims }
}

function formOf(text: string, refuse: (why: string, hint?: string) => never): CredentialFile {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    return refuse(`it is no JSON (${(error as Error).message})`, 'copy it again')
  }
  if ((value as { kind?: unknown } | null)?.kind === 'tenant')
    return refuse('it has the keys of a whole fleet', 'a fleet is started with it: troupe up --bus FILE')
  const fields = (typeof value === 'object' ? value : null) as Record<string, unknown> | null
  if (fields?.['nkeySeed'] !== undefined)
    return refuse(
      'it is a credential alone, which does not say where the bus is',
      'write one that does: troupe context export -o FILE',
    )
  if (fields?.['apiVersion'] !== undefined && fields['apiVersion'] !== API_VERSION)
    return refuse(
      `its form is ${String(fields['apiVersion'])}, and this version reads ${API_VERSION}`,
      'it was made by a later version: update this one',
    )
  const parsed = CredentialFile.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]!
  return refuse(`${issue.path.join('.') || 'it'}: ${issue.message}`)
}

/** The three say the same when nobody changed one of them. */
function refuseMismatch(
  { user, node, role, credentials }: CredentialFile,
  claims: UserClaims,
  named: string,
) {
  let key: string
  try {
    key = signerOf(credentials.nkeySeed, 'user').publicKey
  } catch (error) {
    throw new Fault('PERMISSION', `the seed in ${named} is damaged: ${(error as Error).message}`, {
      hint: 'copy it again',
      cause: error,
    })
  }
  if (key !== claims.publicKey)
    throw new Fault('PERMISSION', `the seed in ${named} is not that of its JWT`, { hint: 'copy it again' })
  const holder = role === 'agent' ? node : user
  if (holder !== claims.name)
    throw new Fault('PERMISSION', `${named} says '${holder}', and its JWT is of '${claims.name}'`, {
      hint: 'copy it again',
    })
}
