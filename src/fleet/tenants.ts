/**
 * The tenants of a bus: fleets of others on a server of ours. Each has accounts of its own, and its owner the
 * keys that mint its credentials, in one file; the owner of the bus keeps none of them.
 */
import * as z from 'zod'
import { readNamedFile } from '../client/credential-file.ts'
import { Fault } from '../protocol/faults.ts'
import { isName } from '../protocol/names.ts'
import { ACCOUNTS, newTenant, type Minter } from '../transport/nats/tenant-accounts.ts'
import { tellIfUp } from './bus.ts'
import { readOperator, writeOperator, type Operator } from './keys.ts'
import type { FleetLayout } from './layout.ts'

const API_VERSION = 'troupe/v1'
const name = z.string().refine(isName, 'no name: letters, digits, - and _; at most 40')
const publicKey = z.string().regex(/^A[A-Z2-7]{55}$/, 'no public key of an account')
const seed = z.string().regex(/^SA[A-Z2-7]{56}$/, 'no seed of an account')

/** Fields of later versions are passed over; they may have more roles. */
const TenantFile = z.object({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal('tenant'),
  fleet: name,
  /** `nats://host:port` or `tls://host:port`, or several with commas */
  url: z.string().regex(/^(nats|tls):\/\/[^/\s]+$/, 'no address: nats://host:port or tls://host:port'),
  /** PEM of the authority of the bus; absent: it has none of its own */
  ca: z.string().optional(),
  accounts: z
    .record(z.string(), publicKey)
    .refine((keys) => ACCOUNTS.every((account) => keys[account] !== undefined), 'an account lacks'),
  /** by role: the seeds that mint */
  signing: z.record(z.string(), seed),
})
export type TenantFile = z.infer<typeof TenantFile>

export function minterOfTenant({ accounts, signing }: TenantFile): Minter {
  return { accounts: accounts as Minter['accounts'], signing }
}

/** @throws {Fault} USAGE for a file that is none, PERMISSION when others can read it */
export async function readTenant(path: string): Promise<TenantFile> {
  const refuse = (
    why: string,
    hint = 'the owner of the bus makes one by: troupe tenants add FLEET',
  ): never => {
    throw new Fault('USAGE', `'${path}' is no tenant's file: ${why}`, { hint })
  }
  const fields = jsonOf(await readNamedFile(path), refuse)
  if (fields['kind'] === 'credential')
    return refuse(
      'it is the credential of one node or person',
      fields['role'] === 'agent' ? 'troupe agent --credential FILE' : 'troupe context add FILE',
    )
  if (typeof fields['apiVersion'] === 'string' && fields['apiVersion'] !== API_VERSION)
    return refuse(`its form is ${fields['apiVersion']}, and this version reads ${API_VERSION}`)
  const parsed = TenantFile.safeParse(fields)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]!
  return refuse(`${issue.path.join('.') || 'it'}: ${issue.message}`)
}

function jsonOf(text: string, refuse: (why: string, hint?: string) => never): Record<string, unknown> {
  if (text.trim() === '') return refuse('it is empty', 'was it written to the end? copy it again')
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
  } catch (error) {
    return refuse(`it is no JSON (${(error as Error).message})`, 'copy it again')
  }
  return refuse('it is no object')
}

/** @throws {Fault} PERMISSION when the operator's key of a bus is not here */
export async function readTenants(layout: FleetLayout): Promise<Operator> {
  const operator = await readOperator(layout)
  if (operator !== null) return operator
  throw new Fault('PERMISSION', "the operator's key of a bus is not here: only its owner has tenants", {
    hint: 'a bus of your own: troupe up',
  })
}

/**
 * A new tenant of the bus of this home. The caller has the up lock.
 *
 * @param bus  how its owner reaches it
 * @param deliver  hands the file over; when it throws nothing has changed
 * @returns why the bus was not told yet, or null
 * @throws {Fault} USAGE for a name that cannot be one, EXISTS for a tenant that is there
 */
export async function addTenant(
  layout: FleetLayout,
  fleet: string,
  bus: { url: string; ca?: string },
  deliver: (text: string) => Promise<void>,
): Promise<Fault | null> {
  const operator = await readTenants(layout)
  if (!isName(fleet) || fleet === 'local')
    throw new Fault('USAGE', `'${fleet}' cannot name a fleet: letters, digits, - and _; at most 40`, {
      hint: fleet === 'local' ? "it is the context of a home's own fleet" : 'such as: lab',
    })
  if (operator.tenants[fleet] !== undefined)
    throw new Fault('EXISTS', `there is a fleet '${fleet}' on this bus, and its keys are with its owner`, {
      hint: 'which there are: troupe tenants list',
    })
  const { record, minter } = newTenant()
  const file = { apiVersion: API_VERSION, kind: 'tenant', fleet, ...bus, ...minter }
  await deliver(`${JSON.stringify(file, null, 2)}\n`)
  operator.tenants[fleet] = record
  await writeOperator(layout, operator)
  return tellIfUp(layout, operator)
}
