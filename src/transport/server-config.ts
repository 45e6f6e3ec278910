/**
 * The text of a nats-server configuration in operator mode: accounts and users are JWTs, so it names who
 * signs accounts and lists no user. Pure; nats/standalone.conf is this text for an example.
 */
import { isLoopback } from '../protocol/addresses.ts'
import { PAYLOAD_BYTES_MAX } from '../protocol/codec.ts'
import { Fault } from '../protocol/faults.ts'
import { formatHostPort } from '../protocol/hostport.ts'
import { clusterText, quoted, type ClusterConfig } from './cluster-config.ts'
import type { OperatorMode } from './nats/tenant-accounts.ts'

export interface ServerConfig {
  /** a name or an address of this machine, or one that means all of them */
  host: string
  port: number
  /** shown in the server's INFO, so that a stranger on our port is told apart */
  serverName: string
  storeDir: string
  /** the server writes its pid there */
  pidFile: string
  /** the server keeps there the accounts that it was told */
  accountsDir: string
  /** `include`: a file beside it says who the operator is, and has the accounts */
  identity: OperatorMode | { include: string }
  /** one of several servers */
  cluster?: ClusterConfig
  /** files with the server's certificate and its key; without: plain text, on loopback alone */
  tls?: { cert: string; key: string }
}

const GIB = 1024 * 1024 * 1024

/** @throws {Fault} USAGE for a host beyond loopback without TLS: nobody serves plain text there */
export function serverConfigText({
  host,
  port,
  serverName,
  storeDir,
  pidFile,
  accountsDir,
  tls,
  identity,
  cluster,
}: ServerConfig): string {
  if (tls === undefined && !isLoopback(host))
    throw new Fault('USAGE', `a bus at '${host}', which others can reach, needs TLS`)
  return `# nats-server configuration of a Troupe fleet at home. Written by troupe; a change is overwritten.
server_name: ${quoted(serverName)}
listen: ${quoted(formatHostPort(host, port))}
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
${tls === undefined ? '' : tlsText(tls)}
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
${cluster === undefined ? '' : clusterText(cluster)}
${operatorText(identity, accountsDir)}`
}

/** The server says its INFO before the handshake, as every client library expects, and nothing else. */
function tlsText({ cert, key }: { cert: string; key: string }): string {
  return `
tls {
  cert_file: ${quoted(cert)}
  key_file: ${quoted(key)}
  min_version: "1.3"
  # As for the challenge: a busy machine needs longer.
  timeout: 10
}
`
}

/**
 * What is preloaded is the accounts as they are when the server starts; a change goes to the running server
 * over its system account.
 */
function operatorText(identity: ServerConfig['identity'], accountsDir: string): string {
  return `# Accounts and users are JWTs; nobody gets in without one.
resolver { type: full, dir: ${quoted(accountsDir)}, allow_delete: false, interval: "2m" }
${'include' in identity ? `include ${quoted(identity.include)}\n` : identityText(identity)}`
}

/** Who signs accounts, and the accounts. */
function identityText({ operator, systemAccount, accounts }: OperatorMode): string {
  return `operator: ${quoted(operator)}
system_account: ${quoted(systemAccount)}
resolver_preload {
${Object.entries(accounts)
  .map(([key, jwt]) => `  ${key}: ${quoted(jwt)}\n`)
  .join('')}}
`
}
