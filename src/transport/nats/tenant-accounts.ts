/**
 * The accounts of a tenant as JWTs, made from the protocol table: what each exports and imports, and a scoped
 * signing key for each role whose template is the role's lists. Pure but for keys and signatures; the table
 * says who may do what, jwt.ts how a claim is written, fleet/keys.ts keeps the keys.
 */
import { accountExports, type AccountExport } from '../../protocol/account-exports.ts'
import {
  ACCOUNT_NAMES,
  accountOf,
  DISCONNECT_ADVISORY,
  inboxPrefixOf,
  isNameOf,
  PLACE_OF_KEY,
  PLACE_OF_NAME,
  permissionsOf,
  type Account,
  type Permissions,
} from '../../protocol/permissions.ts'
import { Fault } from '../../protocol/faults.ts'
import { ROLES, type BusRole } from '../../protocol/table.ts'
import type { Credentials } from '../../system/contexts.ts'
import { accountJwt, activationJwt, operatorJwt, plainUserJwt, scopedSigner, scopedUserJwt } from './jwt.ts'
import type { AccountClaims, Export, Import, Validity } from './jwt.ts'
import { newSeed, signerOf } from './nkey-sign.ts'

export const ACCOUNTS = Object.keys(ACCOUNT_NAMES) as readonly Account[]

/** Seeds (`SO…`, `SA…`). Who holds them may do everything on this server. */
export interface OperatorKeys {
  operator: string
  system: string
}

/** What the operator keeps of a tenant: enough to write its accounts, not to mint its credentials. */
export interface TenantRecord {
  /** seeds (`SA…`) */
  accounts: Record<Account, string>
  /** public keys (`A…`) that mint, by role */
  signing: Record<BusRole, string>
  /** signing keys that were replaced: what they signed is taken until then; seconds since 1970 */
  former?: FormerKey[]
  /** by public key (`U…`): credentials that were made up to then are refused; seconds since 1970 */
  revoked: Record<string, number>
}

export interface FormerKey {
  role: BusRole
  /** `A…` */
  key: string
  until: number
}

/** Mints credentials of the roles whose keys it has, offline. */
export interface Minter {
  /** public keys (`A…`) */
  accounts: Record<Account, string>
  /** seeds (`SA…`) */
  signing: Partial<Record<BusRole, string>>
}

/** The server's side: who signs accounts, and the accounts by their public keys. */
export interface OperatorMode {
  /** a JWT */
  operator: string
  /** `A…` */
  systemAccount: string
  accounts: Record<string, string>
}

export function newOperatorKeys(): OperatorKeys {
  return { operator: newSeed('operator'), system: newSeed('account') }
}

/** All keys of a new tenant: the operator's record of it, and what its owner mints with. */
export function newTenant(): { record: TenantRecord; minter: Minter } {
  const accounts = each(ACCOUNTS, () => newSeed('account'))
  const signing = each(ROLES, () => newSeed('account'))
  return {
    record: { accounts, signing: each(ROLES, (role) => accountKey(signing[role])), revoked: {} },
    minter: { accounts: each(ACCOUNTS, (account) => accountKey(accounts[account])), signing },
  }
}

function each<K extends string, V>(names: readonly K[], make: (name: K) => V): Record<K, V> {
  return Object.fromEntries(names.map((name) => [name, make(name)])) as Record<K, V>
}

function accountKey(seed: string): string {
  return signerOf(seed, 'account').publicKey
}

/**
 * What the server is told, once: users that are minted later need no word to it.
 *
 * @param tenants  by the name of the fleet
 */
export async function operatorMode(
  keys: OperatorKeys,
  tenants: Readonly<Record<string, TenantRecord>>,
): Promise<OperatorMode> {
  const systemAccount = accountKey(keys.system)
  const accounts: Record<string, string> = {
    [systemAccount]: await accountJwt('SYS', systemAccount, SYSTEM_CLAIMS, keys.operator),
  }
  for (const [fleet, tenant] of Object.entries(tenants))
    for (const account of ACCOUNTS) {
      const publicKey = accountKey(tenant.accounts[account])
      const claims = await claimsOf(account, tenant, keys, fleet)
      accounts[publicKey] = await accountJwt(ACCOUNT_NAMES[account], publicKey, claims, keys.operator)
    }
  return { operator: await operatorJwt('troupe', keys.operator, systemAccount), systemAccount, accounts }
}

/**
 * A credential of a role, whose permissions are the role's template in its name.
 *
 * @param nkeySeed  of the user; a new one when it is left out
 * @throws {Fault} REQUEST_INVALID when the name is no name (a wildcard would open the lists), PERMISSION when
 * the minter has no key for the role
 */
export async function mintCredentials(
  minter: Minter,
  role: BusRole,
  name: string,
  validity: Validity = {},
  nkeySeed = newSeed('user'),
): Promise<Credentials> {
  const jwt = await mintJwt(minter, role, name, signerOf(nkeySeed, 'user').publicKey, validity)
  return { nkeySeed, inboxPrefix: inboxPrefixOf(role, name), jwt }
}

/** The same for a key whose seed is somebody else's. */
export async function mintJwt(
  minter: Minter,
  role: BusRole,
  name: string,
  userPublicKey: string,
  validity: Validity = {},
): Promise<string> {
  if (!isNameOf(role, name)) throw new Fault('REQUEST_INVALID', `'${name}' is no name of a ${role}`)
  const signing = minter.signing[role]
  if (signing === undefined) throw new Fault('PERMISSION', `there is no key here that mints a ${role}`)
  return scopedUserJwt(name, userPublicKey, minter.accounts[accountOf(role)], signing, validity)
}

/** Who tells the server of accounts. Made for one conversation, so it ends soon. */
export async function systemCredentials(keys: OperatorKeys, now: number): Promise<Credentials> {
  const nkeySeed = newSeed('user')
  const inboxPrefix = '_INBOX.system'
  const permissions = {
    publish: [CLAIMS_UPDATE],
    subscribe: [`${inboxPrefix}.>`],
    allowResponses: null,
  }
  const publicKey = signerOf(nkeySeed, 'user').publicKey
  const jwt = await plainUserJwt('troupe', publicKey, keys.system, permissions, { expires: now + 60_000 })
  return { nkeySeed, inboxPrefix, jwt }
}

export const CLAIMS_UPDATE = '$SYS.REQ.CLAIMS.UPDATE'

/** What everybody in a role may do in their own name. */
export function templateOf(role: BusRole, fleet: string): Permissions {
  return permissionsOf(role, {
    fleet,
    user: PLACE_OF_NAME,
    node: PLACE_OF_NAME,
    worker: PLACE_OF_NAME,
    key: PLACE_OF_KEY,
    inboxPrefix: inboxPrefixOf(role, PLACE_OF_NAME),
  })
}

/** A JWT without `limits` allows no connection at all. */
const OPEN = {
  conn: -1,
  leaf: -1,
  subs: -1,
  data: -1,
  payload: -1,
  exports: -1,
  imports: -1,
  wildcards: true,
} as const
const LIMITS = {
  withStreams: { ...OPEN, mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 },
  withoutStreams: { ...OPEN, mem_storage: 0, disk_storage: 0, streams: 0, consumer: 0 },
} as const

/** A tenant's coordinator hears of its own agents alone: its leave names their account. */
const SYSTEM_CLAIMS: Partial<AccountClaims> = {
  limits: LIMITS.withoutStreams,
  exports: [
    {
      name: 'disconnect',
      subject: '$SYS.ACCOUNT.*.DISCONNECT',
      type: 'stream',
      token_req: true,
    },
  ],
}

async function claimsOf(
  account: Account,
  tenant: TenantRecord,
  keys: OperatorKeys,
  fleet: string,
): Promise<Partial<AccountClaims>> {
  const crossings = accountExports()
  const imports = await Promise.all(
    crossings.filter(({ to }) => to.includes(account)).map((crossing) => importOf(crossing, account, tenant)),
  )
  return {
    limits: account === 'core' ? LIMITS.withStreams : LIMITS.withoutStreams,
    // a tenant that an earlier version made has no key of a later one's role
    signing_keys: ROLES.filter((role) => accountOf(role) === account && tenant.signing[role]).flatMap(
      (role) => signingKeysOf(role, tenant).map((key) => scopedSigner(role, key, templateOf(role, fleet))),
    ),
    exports: crossings.filter(({ from }) => from === account).map(exportOf),
    imports: account === 'core' ? [await advisoryImport(keys, tenant), ...imports] : imports,
    ...(Object.keys(tenant.revoked).length > 0 && { revocations: tenant.revoked }),
  }
}

function signingKeysOf(role: BusRole, { signing, former = [] }: TenantRecord): string[] {
  return [signing[role], ...former.filter((one) => one.role === role).map(({ key }) => key)]
}

function exportOf({ kind, subject, many }: AccountExport): Export {
  return {
    name: subject,
    subject,
    type: kind,
    token_req: true,
    ...(kind === 'service' && { response_type: many ? 'Stream' : 'Singleton' }),
  }
}

async function importOf(
  { from, kind, subject }: AccountExport,
  importer: Account,
  { accounts }: TenantRecord,
): Promise<Import> {
  return {
    name: subject,
    subject,
    type: kind,
    account: accountKey(accounts[from]),
    token: await activationJwt(kind, subject, accountKey(accounts[importer]), accounts[from]),
  }
}

/** The server names the account by its key; the coordinator hears it by a fixed name. */
async function advisoryImport(keys: OperatorKeys, { accounts }: TenantRecord): Promise<Import> {
  const subject = `$SYS.ACCOUNT.${accountKey(accounts.agents)}.DISCONNECT`
  return {
    name: 'disconnect',
    subject,
    local_subject: DISCONNECT_ADVISORY,
    type: 'stream',
    account: accountKey(keys.system),
    token: await activationJwt('stream', subject, accountKey(accounts.core), keys.system),
  }
}
