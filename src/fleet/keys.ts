/**
 * The keys of a fleet, below TROUPE_HOME, 0600 each: those of the bus's operator, those that mint
 * credentials, and a credential for each role and node. Credentials are minted here offline; the server knows
 * the accounts alone. The protocol table says what a role may do.
 *
 * - operator.json: the operator's seeds, and its tenants' accounts. Its owner's alone.
 * - signing.json: mints every role of this fleet.
 * - signing.coordinator.json: what the coordinator mints with: agents, their renewals, workers.
 * - accounts.json: the accounts' JWTs, as the server is told them. No secret.
 */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { Fault } from '../protocol/faults.ts'
import { accountExports } from '../protocol/account-exports.ts'
import { accountOf } from '../protocol/permissions.ts'
import { ROLES, type BusRole } from '../protocol/table.ts'
import { readCredentials, writeCredentials, type Credentials } from '../system/contexts.ts'
import { readPrivate, writePrivate } from '../system/private-file.ts'
import { userClaimsOf } from '../transport/nats/jwt-claims.ts'
import { newSeed, signerOf } from '../transport/nats/nkey-sign.ts'
import {
  ACCOUNTS,
  mintCredentials,
  newOperatorKeys,
  newTenant,
  operatorMode,
  templateOf,
  type Minter,
  type OperatorKeys,
  type OperatorMode,
  type TenantRecord,
} from '../transport/nats/tenant-accounts.ts'
import { readPinned } from './certificates.ts'
import type { FleetLayout } from './layout.ts'
import { mintAgent, renewAtOf } from './renewal.ts'

/** `node` for an agent alone. */
export interface KeyOwner {
  role: BusRole
  node?: string
}

/** What the operator of a bus keeps. */
export interface Operator {
  keys: OperatorKeys
  /** by the name of the fleet */
  tenants: Record<string, TenantRecord>
  /** when a key was made, by its public half; Unix ms */
  made?: Record<string, number>
}

export function keyFile(layout: FleetLayout, owner: KeyOwner): string {
  return join(layout.keys, `${nameOf(owner)}.json`)
}
function nameOf({ role, node }: KeyOwner): string {
  return node === undefined ? role : `${role}.${node}`
}
function operatorFile(layout: FleetLayout): string {
  return join(layout.keys, 'operator.json')
}
function signingFile(layout: FleetLayout): string {
  return join(layout.keys, 'signing.json')
}
function coordinatorSigningFile(layout: FleetLayout): string {
  return join(layout.keys, 'signing.coordinator.json')
}
function accountsFile(layout: FleetLayout): string {
  return join(layout.keys, 'accounts.json')
}

/** @returns null when the bus of this fleet is not ours */
export function readOperator(layout: FleetLayout): Promise<Operator | null> {
  return readJson<Operator>(operatorFile(layout))
}
export function writeOperator(layout: FleetLayout, operator: Operator): Promise<void> {
  return writeJson(operatorFile(layout), operator)
}

/** @returns null when nothing of this fleet can be minted here */
export function readMinter(layout: FleetLayout): Promise<Minter | null> {
  return readJson<Minter>(signingFile(layout))
}

/** What a fleet's owner holds, and from it what its coordinator holds. */
export async function writeMinter(layout: FleetLayout, minter: Minter): Promise<void> {
  await writeJson(signingFile(layout), minter)
  const { agent, renewal, worker } = minter.signing
  const signing = { agent, renewal, worker }
  await writeJson(coordinatorSigningFile(layout), { accounts: minter.accounts, signing })
}

/** @returns null when this coordinator can mint nothing */
export function readCoordinatorMinter(layout: FleetLayout): Promise<Minter | null> {
  return readJson<Minter>(coordinatorSigningFile(layout))
}

/**
 * The keys of a home's own bus and of its fleet, made when they are not there. A signing key that lacks is
 * made: of a role that a later version added, or of all when their file is lost. The accounts stay, and with
 * them the streams. The caller holds the up lock.
 */
export async function ensureOperator(layout: FleetLayout): Promise<Operator> {
  const there = await readOperator(layout)
  const record = there?.tenants[layout.fleet]
  if (there === null || record === undefined) {
    const made = newTenant()
    const keys = there?.keys ?? newOperatorKeys()
    const operator: Operator = { ...there, keys, tenants: { ...there?.tenants, [layout.fleet]: made.record } }
    noteMade(operator, Object.values(made.record.signing))
    noteMade(operator, Object.values(made.minter.accounts))
    if (there === null) noteMade(operator, publicKeysOf(keys))
    // the fleet's own first: an operator that knows a tenant of which nobody has the keys is of no use
    await writeMinter(layout, made.minter)
    await writeOperator(layout, operator)
    return operator
  }
  if (dropPast(there, Date.now())) await writeOperator(layout, there)
  const minter = (await readMinter(layout)) ?? { accounts: {} as Minter['accounts'], signing: {} }
  const lacking = ROLES.filter(
    (role) => record.signing[role] === undefined || minter.signing[role] === undefined,
  )
  if (lacking.length === 0 && ACCOUNTS.every((account) => record.accounts[account] !== undefined))
    return there
  for (const account of ACCOUNTS) {
    record.accounts[account] ??= newSeed('account')
    minter.accounts[account] = signerOf(record.accounts[account], 'account').publicKey
  }
  for (const role of lacking) {
    minter.signing[role] = newSeed('account')
    record.signing[role] = signerOf(minter.signing[role], 'account').publicKey
    noteMade(there, [record.signing[role]])
  }
  await writeMinter(layout, minter)
  await writeOperator(layout, there)
  return there
}

export function noteMade(operator: Operator, publicKeys: readonly string[], now = Date.now()): void {
  operator.made = { ...operator.made, ...Object.fromEntries(publicKeys.map((key) => [key, now])) }
}

export function publicKeysOf({ operator, system }: OperatorKeys): string[] {
  return [signerOf(operator, 'operator').publicKey, signerOf(system, 'account').publicKey]
}

/**
 * Without the revocations and the former signing keys of credentials that nobody could use any more.
 *
 * @returns whether there were any
 */
export function dropPast(operator: Operator, now: number): boolean {
  let dropped = false
  const stays = (until: number): boolean => {
    if (until * 1000 > now) return true
    dropped = true
    return false
  }
  for (const tenant of Object.values(operator.tenants)) {
    tenant.revoked = Object.fromEntries(Object.entries(tenant.revoked).filter(([, until]) => stays(until)))
    if (tenant.former !== undefined) tenant.former = tenant.former.filter(({ until }) => stays(until))
  }
  return dropped
}

interface KeptAccounts {
  /** of all that the JWTs say */
  hash: string
  mode: OperatorMode
  /** the server has them: false between a change and the server's word */
  told?: boolean
}

/** The accounts as the server was told them last; null when it never was. */
export async function readAccounts(layout: FleetLayout): Promise<OperatorMode | null> {
  return (await readJson<KeptAccounts>(accountsFile(layout)))?.mode ?? null
}

/**
 * The accounts as they are to be. They are signed anew only when what they say has changed.
 *
 * @returns `changed`: the server has to be told
 */
export async function ensureAccounts(
  layout: FleetLayout,
  operator: Operator,
): Promise<{ mode: OperatorMode; changed: boolean }> {
  const kept = await readJson<KeptAccounts>(accountsFile(layout))
  const hash = hashOf(operator)
  if (kept?.hash === hash) return { mode: kept.mode, changed: kept.told === false }
  const mode = await operatorMode(operator.keys, operator.tenants)
  await writeJson(accountsFile(layout), { hash, mode, told: false })
  return { mode, changed: true }
}

/** The server has the accounts as they are kept. */
export async function noteTold(layout: FleetLayout): Promise<void> {
  const kept = await readJson<KeptAccounts>(accountsFile(layout))
  if (kept?.told === false) await writeJson(accountsFile(layout), { ...kept, told: true })
}

/** The lists of a role are the same for every name. */
function hashOf(operator: Operator): string {
  const lists = ROLES.map((role) => templateOf(role, 'f'))
  return createHash('sha256')
    .update(JSON.stringify([operator, lists, accountExports()]))
    .digest('hex')
}

/**
 * Read the owner's credentials, minted first when they are not there or nobody takes them any more.
 *
 * @throws {Fault} PERMISSION when they have to be minted and the key for it is not here
 */
export async function ensureKey(layout: FleetLayout, owner: KeyOwner, user: string): Promise<Credentials> {
  const [there, minter] = [await readKey(layout, owner), await readMinter(layout)]
  if (there !== null && minter === null) return there
  if (minter === null)
    throw new Fault('PERMISSION', `the keys of fleet '${layout.fleet}' are not here`, { hint: 'troupe up' })
  const ca = await readPinned(layout)
  if (there !== null && isMintedBy(there, minter, owner))
    return there.ca === ca ? there : keep(layout, owner, there, ca)
  const name = owner.node ?? (owner.role === 'coordinator' ? layout.fleet : user)
  return keep(layout, owner, await mintOwn(minter, owner.role, name, there?.nkeySeed), ca)
}

/** A credential that this home uses itself: an agent's ends and is renewed, the others have no end. */
export function mintOwn(
  minter: Minter,
  role: BusRole,
  name: string,
  nkeySeed?: string,
): Promise<Credentials> {
  return role === 'agent'
    ? mintAgent(minter, name, Date.now(), nkeySeed)
    : mintCredentials(minter, role, name)
}

/** With the authority of the bus's certificate, where one is pinned. */
async function keep(
  layout: FleetLayout,
  owner: KeyOwner,
  minted: Credentials,
  ca: string | undefined,
): Promise<Credentials> {
  const credentials = { ...minted }
  if (ca === undefined) delete credentials.ca
  else credentials.ca = ca
  await writeCredentials(keyFile(layout, owner), credentials)
  return credentials
}

/** An agent's is taken as long as its renewal is not due. */
function isMintedBy({ jwt, renewal }: Credentials, minter: Minter, { role, node }: KeyOwner): boolean {
  const claims = jwt === undefined ? null : userClaimsOf(jwt)
  const signing = minter.signing[role]
  return (
    claims !== null &&
    claims.account === minter.accounts[accountOf(role)] &&
    signing !== undefined &&
    claims.issuer === signerOf(signing, 'account').publicKey &&
    (node === undefined || (renewal !== undefined && Date.now() < renewAtOf(claims)))
  )
}

/** @returns null when there is no such key */
export function readKey(layout: FleetLayout, owner: KeyOwner): Promise<Credentials | null> {
  return readCredentials(keyFile(layout, owner))
}

async function readJson<T>(file: string): Promise<T | null> {
  const text = await readPrivate(file)
  if (text === null) return null
  try {
    return JSON.parse(text) as T
  } catch (error) {
    throw new Fault('SETUP', `'${file}' is damaged: ${(error as Error).message}`, { cause: error })
  }
}

function writeJson(file: string, value: unknown): Promise<void> {
  return writePrivate(file, `${JSON.stringify(value, null, 2)}\n`)
}
