/**
 * Where a bus that is reached over the network listens: what `--listen` may say, what is there on this
 * machine, by which name others get the address, and all names that its certificate has to have. Owns no
 * file; nothing listens here.
 */
import { lookup } from 'node:dns/promises'
import { createServer, isIP } from 'node:net'
import { hostname, networkInterfaces } from 'node:os'
import { chooseHost } from '../process/host-choice.ts'
import { isLinkLocal, isLoopback } from '../protocol/addresses.ts'
import { Fault } from '../protocol/faults.ts'
import { formatHostPort } from '../protocol/hostport.ts'
import { defaultInterface, listInterfaces } from '../system/interfaces.ts'
import { tryProgram } from '../system/run.ts'

/** What a person wrote: a host name, or an address in its usual form. */
export interface Listen {
  host: string
  /** null: any that is free */
  port: number | null
}

const FORMS = '10.0.0.5, 10.0.0.5:4222, login1.example.org:4222, [fd00::5]:4222; 0.0.0.0 for all addresses'
/** Letters, digits, `-` and `_`, in labels. */
const HOST_NAME =
  /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/
const FQDN_MS = 2000

/** @throws {Fault} USAGE, with what to write, for what is no address or cannot be one of a bus */
export function parseListen(text: string): Listen {
  const refuse = (why: string, hint = `write an address, and a port if you like: ${FORMS}`): never => {
    throw new Fault('USAGE', `--listen '${text}': ${why}`, { hint })
  }
  const scheme = /^[a-z+]+:\/\//i.exec(text)
  if (scheme !== null) refuse('an address has no scheme', `write: --listen ${text.slice(scheme[0].length)}`)
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/s.exec(text)
  // a bare IPv6 address has no port: its last group would be read as one
  const isBare6 = bracketed === null && text.split(':').length > 2
  const [rawHost, rawPort] =
    bracketed !== null ? [bracketed[1]!, bracketed[2]] : isBare6 ? [text] : text.split(':')
  const port = rawPort === undefined ? null : Number(rawPort)
  if (port !== null && !(/^\d{1,5}$/.test(rawPort!) && port >= 1 && port <= 65_535))
    refuse(`'${rawPort}' is no port`, 'a port is a number from 1 to 65535; leave it out for any that is free')
  const suffix = port === null ? '' : `:${port}`
  if (rawHost === '' || rawHost === '*')
    refuse('which address?', `for all addresses of this machine write: --listen 0.0.0.0${suffix}`)
  if (/^\d+$/.test(rawHost!))
    refuse('that is a port alone', `write: --listen 0.0.0.0:${rawHost}, or another address before it`)
  const host = hostOf(rawHost!)
  if (host === null || (bracketed !== null && isIP(host) !== 6))
    return refuse('that is no address and no host name')
  const why = unfit(host)
  return why === null ? { host, port } : refuse(why)
}

/** A host name or an address in its usual form, or null when it is neither. */
export function hostOf(text: string): string | null {
  if (isIP(text) === 6)
    return text.includes('%') ? text.toLowerCase() : new URL(`http://[${text}]`).hostname.slice(1, -1)
  if (isIP(text) === 4) return text
  const name = text.toLowerCase().replace(/\.$/, '')
  // 10.0.0 and 10.0.0.256 are no names
  return HOST_NAME.test(name) && !/(^|\.)\d+$/.test(name) ? name : null
}

function unfit(address: string): string | null {
  if (isIP(address) === 6 && isLinkLocal(address))
    return 'a link-local address means something else on each machine'
  if (address.includes('%')) return 'an address with a zone means something else on each machine'
  if (address.startsWith('::ffff:')) return 'write the IPv4 address itself'
  if (/^ff[0-9a-f]{2}:/.test(address) || /^(22[4-9]|23\d|255)\.\d/.test(address))
    return 'that is no address of one machine'
  return null
}

export function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}

/** A place on this machine where a server can listen. */
export interface Place {
  /** an address, or one that means all */
  host: string
  port: number | null
  /** the host by which others reach it: as it was given, or this machine's main address */
  name: string
}

/**
 * @param env  TROUPE_HOST and TROUPE_INTERFACE choose the main address
 * @throws {Fault} USAGE for a name that is not this machine's
 */
export async function findPlace(
  { host, port }: Listen,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Place> {
  const address = isIP(host) === 0 ? await resolve(host) : host
  if (!isWildcard(address)) return { host: address, port, name: host }
  const defaults = { env, link: null, defaultInterface }
  return { host: address, port, name: chooseHost(null, listInterfaces(), defaults) }
}

/** @returns the address that is this machine's, IPv4 first */
async function resolve(name: string): Promise<string> {
  const found = await lookup(name, { all: true }).catch((error: NodeJS.ErrnoException) => {
    throw new Fault('USAGE', `--listen: this machine does not know the name '${name}' (${error.code})`, {
      hint: `write an address of it: ${ownAddresses().join(', ')}`,
      cause: error,
    })
  })
  const addresses = found.toSorted((a, b) => a.family - b.family).map((entry) => entry.address)
  const usable = addresses.filter((address) => isLoopback(address) === isLoopback(name))
  if (usable.length === 0)
    throw new Fault(
      'USAGE',
      `--listen: '${name}' is ${addresses.join(', ')} on this machine, where nobody else could reach it`,
      {
        hint: `write an address: ${ownAddresses().join(', ')}; with the name for others: --listen-name ${name}`,
      },
    )
  return usable.find(isOwnAddress) ?? usable[0]!
}

/**
 * Can a server listen there now? That is asked by doing it: what stands in a list of addresses is less true.
 *
 * @throws {Fault} USAGE for an address that is not this machine's, or a port that is taken or forbidden
 */
export async function tryPlace({ host: address, port, name }: Place): Promise<void> {
  const host = isWildcard(address) ? address : name
  const server = createServer()
  try {
    await new Promise<void>((bound, failed) => {
      server.once('error', failed)
      server.listen({ host: address, port: port ?? 0 }, bound)
    })
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const where = host === address ? address : `${host} (${address})`
    if (code === 'EADDRINUSE')
      throw new Fault('USAGE', `--listen: port ${port} at ${where} is taken`, {
        hint: `take another, or leave it out: --listen ${isIP(host) === 6 ? `[${host}]` : host}`,
      })
    if (code === 'EADDRNOTAVAIL' || code === 'EINVAL' || code === 'EAFNOSUPPORT')
      throw new Fault('USAGE', `--listen: ${where} is no address of this machine`, {
        hint:
          `there are: ${ownAddresses().join(', ')}` +
          (isIP(host) === 6 && port === null ? '; a port stands behind brackets: [fd00::5]:4222' : ''),
      })
    if (code === 'EACCES')
      throw new Fault('USAGE', `--listen: port ${port} may not be taken by you`, {
        hint: 'ports from 1024 on may: leave it out, or take one of these',
      })
    throw new Fault('USAGE', `--listen ${formatHostPort(host, port ?? 0)}: ${message}`, { cause: error })
  } finally {
    server.close()
  }
}

export function isOwnAddress(address: string): boolean {
  return Object.values(networkInterfaces()).some((entries) =>
    (entries ?? []).some((entry) => entry.address === address),
  )
}

/** Addresses that others could use; loopback alone when there are none. */
function ownAddresses(): string[] {
  const all = Object.values(listInterfaces()).flat()
  const beyond = all.filter((address) => !isLoopback(address))
  return beyond.length > 0 ? beyond : all
}

/**
 * All names by which a bus at this place may be reached: by a port-forward too, which ends on loopback.
 *
 * @param more  names that only others know: of a port-forward's other end, of a router
 */
export async function certificateNames(
  { host, name }: Pick<Place, 'host' | 'name'>,
  more: readonly string[],
): Promise<string[]> {
  const names = [
    ...more,
    name,
    ...(isWildcard(host) ? [] : [host]),
    'localhost',
    '127.0.0.1',
    '::1',
    hostname(),
    (await tryProgram(['hostname', '-f'], { timeoutMs: FQDN_MS })).stdout.trim(),
    ...Object.values(listInterfaces()).flat(),
  ]
  return [...new Set(names.map((text) => hostOf(text)).filter((known) => known !== null))]
}
