/**
 * The text of a nats-server configuration for a fleet at home: accounts for the coordinator with JetStream,
 * for agents and for people, what crosses between them, NKey users with allow-lists, the system account
 * without users. Pure; nats/standalone.conf is this text for an example.
 */
import { PAYLOAD_BYTES_MAX } from '../protocol/codec.ts'
import {
  ACCOUNT_NAMES,
  accountExports,
  DISCONNECT_ADVISORY,
  type Account,
  type AccountExport,
  type Permissions,
} from '../protocol/permissions.ts'

export interface ServerUser extends Permissions {
  /** `U…` */
  publicKey: string
  /** said in a comment: the role and the name that the server vouches for */
  comment: string
}

export interface ServerConfig {
  /** loopback alone: beyond it the bus needs TLS */
  host: '127.0.0.1' | '::1'
  port: number
  /** shown in the server's INFO, so that a stranger on our port is told apart */
  serverName: string
  storeDir: string
  /** the server writes its pid there */
  pidFile: string
  /** users whose keys the server lists, or accounts as JWTs, whose users it need not know */
  identity: { users: readonly ServerUser[] } | { jwts: OperatorMode }
}

/** The server's side of operator mode: who signs accounts, and the accounts by their public keys. */
export interface OperatorMode {
  operator: string
  systemAccount: string
  accounts: Readonly<Record<string, string>>
}

const GIB = 1024 * 1024 * 1024

export function serverConfigText({
  host,
  port,
  serverName,
  storeDir,
  pidFile,
  identity,
}: ServerConfig): string {
  return `# nats-server configuration of a Troupe fleet at home. Written by troupe; a change is overwritten.
server_name: ${quoted(serverName)}
listen: ${quoted(`${host.includes(':') ? `[${host}]` : host}:${port}`)}
pid_file: ${quoted(pidFile)}

# An entry of the coordinator's state may be large; a snapshot is cut into several.
max_payload: ${PAYLOAD_BYTES_MAX}
# Half-open links are noticed in seconds: a ping each 2 s, given up when two are out.
ping_interval: "2s"
ping_max: 2
# A reader that stands still this long is cut off, so that it does not slow down its neighbours.
write_deadline: "5s"
# A busy machine needs longer than the usual 2 s to answer the challenge.
authorization: { timeout: 10 }

jetstream {
  store_dir: ${quoted(storeDir)}
  # An acknowledged append is on disk. Streams that can do without say so themselves (persist_mode: async).
  sync_interval: always
  # The streams have limits of their own: 2.6 GiB together, and STATE, which snapshots keep at a few MB. In
  # memory the server keeps an index of their subjects and messages: 0.3 GB were seen after 12,800 runs,
  # nothing bounds it.
  max_file_store: ${16 * GIB}
  max_memory_store: ${GIB}
}

${'users' in identity ? accountsText(identity.users) : operatorText(identity.jwts)}`
}

/** The resolver is the text itself: an account is changed by a new text and a reload. */
function operatorText({ operator, systemAccount, accounts }: OperatorMode): string {
  return `operator: ${quoted(operator)}
system_account: ${quoted(systemAccount)}
resolver: MEMORY
resolver_preload {
${Object.entries(accounts)
  .map(([key, jwt]) => `  ${key}: ${quoted(jwt)}\n`)
  .join('')}}
`
}

function accountsText(users: readonly ServerUser[]): string {
  return `system_account: SYS
accounts {
  # No users: nobody administers the server over the bus.
  SYS {
    exports: [ { stream: ${quoted(DISCONNECT_ADVISORY)}, accounts: [ ${ACCOUNT_NAMES.core} ] } ]
  }
  # Three accounts: a reply subject is the asker's to choose, and reaches everything in the account of the
  # one that answers.
  # NKeys, never passwords; allow-lists, never deny-lists; no user for who comes without a key.
${ACCOUNTS.map((account) => accountText(account, users)).join('')}}
`
}

const ACCOUNTS: readonly Account[] = ['core', 'agents', 'people']

function accountText(account: Account, users: readonly ServerUser[]): string {
  const exported = accountExports().filter(({ from }) => from === account)
  const imported = accountExports().filter(({ to }) => to.includes(account))
  const served = users.filter((user) => user.account === account)
  const isCore = account === 'core'
  const advisories = `      { stream: { account: SYS, subject: ${quoted(DISCONNECT_ADVISORY)} } }\n`
  return `  ${ACCOUNT_NAMES[account]} {
${isCore ? '    jetstream: enabled\n' : ''}    exports: [
${exported.map(exportText).join('')}    ]
    imports: [
${isCore ? advisories : ''}${imported.map(importText).join('')}    ]
    users: [
${served.map(userText).join('')}    ]
  }
`
}

function exportText({ kind, subject, many, to }: AccountExport): string {
  const responses = kind === 'service' ? `response_type: ${many ? 'stream' : 'singleton'}, ` : ''
  const accounts = to.map((account) => ACCOUNT_NAMES[account]).join(', ')
  return `      { ${kind}: ${quoted(subject)}, ${responses}accounts: [ ${accounts} ] }\n`
}

function importText({ kind, from, subject }: AccountExport): string {
  return `      { ${kind}: { account: ${ACCOUNT_NAMES[from]}, subject: ${quoted(subject)} } }\n`
}

function userText({ publicKey, comment, publish, subscribe, allowResponses }: ServerUser): string {
  const responses =
    allowResponses === null
      ? ''
      : `\n        allow_responses: { max: ${allowResponses.max}, expires: "${allowResponses.ttlMs}ms" }`
  return `      # ${comment.replace(/[\r\n]+/g, ' ')}
      { nkey: ${publicKey}, permissions: {
        publish: { allow: [${list(publish)}] }
        subscribe: { allow: [${list(subscribe)}] }${responses}
      } }
`
}
function list(subjects: readonly string[]): string {
  return (
    subjects.map((subject) => `\n          ${quoted(subject)}`).join('') +
    (subjects.length > 0 ? '\n        ' : '')
  )
}

/** A quoted string: `$` starts no variable in it. */
function quoted(text: string): string {
  return JSON.stringify(text)
}
