/**
 * Addresses as text: which of a node's a `network` means, and how peers write one. Pure. Which address an
 * agent has when nobody asks for one is process/host-choice.ts.
 */
import { BlockList, isIP } from 'node:net'
import type { Network } from './launch/resolved.ts'

/** Interface name → addresses, in the order of the system. */
export type Interfaces = Readonly<Record<string, readonly string[]>>

/** As peers write it: IPv4 that came over a socket of IPv6 is IPv4, and a zone is of one machine alone. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '')
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || LOOPBACKS.some((block) => inBlock(block)!(host))
}
const LOOPBACKS = ['127.0.0.0/8', '::1/128']

/** @param url  of a bus; several with commas */
export function isLoopbackUrl(url: string): boolean {
  return url.split(',').every((each) => isLoopback(new URL(each).hostname.replace(/^\[|\]$/g, '')))
}

/** It means nothing without the zone of one machine. */
export function isLinkLocal(address: string): boolean {
  return /^fe[89ab]/i.test(address)
}

/** @returns null when the text is no CIDR block, such as 10.0.0.0/8 or fd00::/8 */
export function inBlock(cidr: string): ((address: string) => boolean) | null {
  const [base = '', length = '', ...rest] = cidr.split('/')
  const family = isIP(base)
  if (family === 0 || base.includes('%') || rest.length > 0 || !/^\d{1,3}$/.test(length)) return null
  if (Number(length) > (family === 4 ? 32 : 128)) return null
  const type = family === 4 ? 'ipv4' : 'ipv6'
  const range = new BlockList()
  range.addSubnet(base, Number(length), type)
  return (address) => isIP(address) === family && range.check(address, type)
}

/**
 * Which of these addresses is meant: within an interface IPv4 comes before IPv6.
 *
 * @returns null when none is
 */
export function addressIn(network: Network, interfaces: Interfaces): string | null {
  if ('interface' in network) return firstOf(interfaces[network.interface] ?? [])
  return Object.values(interfaces).flat().find(blockOf(network)) ?? null
}

/** Many nodes are asked for the one network of a role. */
const blocks = new WeakMap<Network, (address: string) => boolean>()

function blockOf(network: Extract<Network, { cidr: string }>): (address: string) => boolean {
  const known = blocks.get(network)
  if (known !== undefined) return known
  const block = inBlock(network.cidr) ?? (() => false)
  blocks.set(network, block)
  return block
}

export function firstOf(addresses: readonly string[]): string | null {
  return addresses.find((address) => isIP(address) === 4) ?? addresses[0] ?? null
}

/** @returns the interface that has this address */
export function interfaceOf(address: string, interfaces: Interfaces): string | undefined {
  return Object.keys(interfaces).find((name) => interfaces[name]!.includes(address))
}

const LISTED_MAX = 6

/** `eth0 (10.0.0.1, fd00::1), lo (127.0.0.1)` */
export function interfacesText(interfaces: Interfaces): string {
  const all = Object.entries(interfaces).map(([name, addresses]) => `${name} (${addresses.join(', ')})`)
  const more = all.length - LISTED_MAX
  return all.length === 0
    ? 'none'
    : `${all.slice(0, LISTED_MAX).join(', ')}${more > 0 ? `, and ${more} more` : ''}`
}
