/**
 * The accounts of one tenant as JWTs, made from the protocol table as `troupe up` is to make them: what each
 * exports and imports, and a scoped signing key for each role whose template is the role's lists. Pure but
 * for keys and signatures; the table says who may do what, jwt.ts how a claim is written.
 */
import type { Account as AccountClaims, Export, Import } from '@nats-io/jwt'
import {
  ACCOUNT_NAMES,
  accountExports,
  DISCONNECT_ADVISORY,
  inboxPrefixOf,
  permissionsOf,
  type Account,
  type AccountExport,
  type Permissions,
} from '../../../src/protocol/permissions.ts'
import { Fault } from '../../../src/protocol/faults.ts'
import { isName } from '../../../src/protocol/names.ts'
import { ROLES, type BusRole } from '../../../src/protocol/table.ts'
import type { Credentials } from '../../../src/system/contexts.ts'
import { accountJwt, activationJwt, operatorJwt, scopedSigner, scopedUserJwt, type Validity } from './jwt.ts'
import { newSeed, signerOf } from '../../../src/transport/nats/nkey-sign.ts'

const ACCOUNTS: readonly Account[] = ['core', 'agents', 'people']

/** Seeds (`SO…`, `SA…`). Who holds the operator's may do everything on this server. */
export interface TenantKeys {
  operator: string
  system: string
  accounts: Record<Account, string>
  /** by role: a credential is minted with one of these, offline */
  signing: Record<BusRole, string>
}

export interface TenantJwts {
  operator: string
  /** `A…` */
  systemAccount: string
  /** by public key, as a resolver of the server takes them */
  accounts: Record<string, string>
}

/** All keys of a new tenant: who holds them is its owner. */
export function newTenantKeys(): TenantKeys {
  const account = (): string => newSeed('account')
  return {
    operator: newSeed('operator'),
    system: account(),
    accounts: { core: account(), agents: account(), people: account() },
    signing: Object.fromEntries(ROLES.map((role) => [role, account()])) as Record<BusRole, string>,
  }
}

function accountKey(seed: string): string {
  return signerOf(seed, 'account').publicKey
}

/** What the server is told of the tenant, once: users that are minted later need no word to it. */
export async function tenantJwts(keys: TenantKeys, fleet: string): Promise<TenantJwts> {
  const systemAccount = accountKey(keys.system)
  const made = await Promise.all([
    systemClaims(keys).then((claims) => accountJwt('SYS', systemAccount, claims, keys.operator)),
    ...ACCOUNTS.map(async (account) =>
      accountJwt(
        ACCOUNT_NAMES[account],
        accountKey(keys.accounts[account]),
        await claimsOf(account, keys, fleet),
        keys.operator,
      ),
    ),
  ])
  const names = [systemAccount, ...ACCOUNTS.map((account) => accountKey(keys.accounts[account]))]
  return {
    operator: await operatorJwt('troupe', keys.operator, systemAccount),
    systemAccount,
    accounts: Object.fromEntries(names.map((name, i) => [name, made[i]!])),
  }
}

/**
 * A new user of a role, whose permissions are the role's template in its name.
 *
 * @throws {Fault} REQUEST_INVALID when the name is no name: a wildcard would open the lists
 */
export async function mintCredentials(
  keys: Pick<TenantKeys, 'accounts' | 'signing'>,
  role: BusRole,
  name: string,
  validity: Validity = {},
): Promise<Credentials> {
  if (!isName(name)) throw new Fault('REQUEST_INVALID', `'${name}' is no name of a ${role}`)
  const nkeySeed = newSeed('user')
  const jwt = await scopedUserJwt(
    name,
    signerOf(nkeySeed, 'user').publicKey,
    accountKey(keys.accounts[templateOf(role, 'any').account]),
    keys.signing[role],
    validity,
  )
  return { nkeySeed, inboxPrefix: inboxPrefixOf(role, name), jwt }
}

/** The server puts the credential's name in its place. */
const PLACE_OF_NAME = '{{name()}}'

/** What everybody in a role may do in their own name. */
function templateOf(role: BusRole, fleet: string): Permissions {
  return permissionsOf(role, {
    fleet,
    user: PLACE_OF_NAME,
    node: PLACE_OF_NAME,
    inboxPrefix: inboxPrefixOf(role, PLACE_OF_NAME),
  })
}

/**
 * The server's disconnect advisory names the account by its key; the coordinator hears it by a fixed name.
 */
function advisoryOf(keys: TenantKeys): string {
  return `$SYS.ACCOUNT.${accountKey(keys.accounts.agents)}.DISCONNECT`
}

async function systemClaims(keys: TenantKeys): Promise<Partial<AccountClaims>> {
  return {
    limits: LIMITS.withoutStreams,
    exports: [{ name: 'disconnect', subject: advisoryOf(keys), type: 'stream', token_req: true }],
  }
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

async function claimsOf(account: Account, keys: TenantKeys, fleet: string): Promise<Partial<AccountClaims>> {
  const crossings = accountExports()
  const imports = await Promise.all(
    crossings.filter(({ to }) => to.includes(account)).map((crossing) => importOf(crossing, account, keys)),
  )
  return {
    limits: account === 'core' ? LIMITS.withStreams : LIMITS.withoutStreams,
    signing_keys: ROLES.map((role) => ({ role, template: templateOf(role, fleet) }))
      .filter(({ template }) => template.account === account)
      .map(({ role, template }) => scopedSigner(role, accountKey(keys.signing[role]), template)),
    exports: crossings.filter(({ from }) => from === account).map(exportOf),
    imports: account === 'core' ? [await advisoryImport(keys), ...imports] : imports,
  }
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
  keys: TenantKeys,
): Promise<Import> {
  return {
    name: subject,
    subject,
    type: kind,
    account: accountKey(keys.accounts[from]),
    token: await activationJwt(kind, subject, accountKey(keys.accounts[importer]), keys.accounts[from]),
  }
}

async function advisoryImport(keys: TenantKeys): Promise<Import> {
  const subject = advisoryOf(keys)
  return {
    name: 'disconnect',
    subject,
    local_subject: DISCONNECT_ADVISORY,
    type: 'stream',
    account: accountKey(keys.system),
    token: await activationJwt('stream', subject, accountKey(keys.accounts.core), keys.system),
  }
}
