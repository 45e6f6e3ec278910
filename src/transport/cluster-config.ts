/**
 * The `cluster` block of a nats-server configuration: where the other servers of a cluster are, and what
 * they have to show. A server that may join is trusted with all accounts, so nobody joins with nothing. Pure.
 */
import { Fault } from '../protocol/faults.ts'
import { formatHostPort } from '../protocol/hostport.ts'

export interface ClusterConfig {
  /** the same on all servers */
  name: string
  /** where this server listens for the others */
  host: string
  port: number
  /** where all of them listen; its own place may be among them */
  routes: readonly { host: string; port: number }[]
  /** a secret of them all, on loopback alone, or files: each shows a certificate of the given authority */
  trust: { secret: string } | { cert: string; key: string; ca: string }
}

/** @throws {Fault} USAGE beyond loopback without TLS, without a secret, or with a name that is none */
export function clusterText({ name, host, port, routes, trust }: ClusterConfig): string {
  if (!/^[A-Za-z0-9_-]+$/.test(name)) throw new Fault('USAGE', `'${name}' cannot name a cluster`)
  const beyond = [{ host }, ...routes].find((one) => !isLoopback(one.host))
  if ('secret' in trust && beyond !== undefined)
    throw new Fault('USAGE', `servers at '${beyond.host}', which others can reach, need TLS between them`)
  if ('secret' in trust && trust.secret === '')
    throw new Fault('USAGE', 'without a secret any process of this machine could join the cluster')
  const who = 'secret' in trust ? `${USER}:${encodeURIComponent(trust.secret)}@` : ''
  return `
# The other servers. One that may join is trusted with all accounts.
cluster {
  name: ${quoted(name)}
  listen: ${quoted(formatHostPort(host, port))}
${'secret' in trust ? secretText(trust.secret) : tlsText(trust)}  routes: [
${routes.map((route) => `    ${quoted(`nats://${who}${formatHostPort(route.host, route.port)}`)}\n`).join('')}  ]
}
`
}

const USER = 'server'

function secretText(secret: string): string {
  return `  authorization { user: ${USER}, password: ${quoted(secret)}, timeout: 10 }
`
}

function tlsText({ cert, key, ca }: { cert: string; key: string; ca: string }): string {
  return `  # Both ends show a certificate.
  tls {
    cert_file: ${quoted(cert)}
    key_file: ${quoted(key)}
    ca_file: ${quoted(ca)}
    verify: true
    min_version: "1.3"
    timeout: 10
  }
`
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

/** A quoted string: `$` starts no variable in it. */
export function quoted(text: string): string {
  return JSON.stringify(text)
}
