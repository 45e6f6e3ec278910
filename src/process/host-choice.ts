/**
 * Which address peers are told: of the role's `network`, or the node's default. Never silently the first
 * network card.
 *
 * The default, in this order: TROUPE_HOST (an address, taken as it is), TROUPE_INTERFACE (a name or a CIDR
 * block), this end of the link to the bus, the interface of the default route, loopback. A link over
 * loopback counts where the bus listens on loopback: else it is a port-forward, and no peer is behind it.
 */
import { isIP } from 'node:net'
import {
  addressIn,
  firstOf,
  inBlock,
  interfacesText,
  isLinkLocal,
  isLoopback,
  plainAddress,
  type Interfaces,
} from '../protocol/addresses.ts'
import { Fault } from '../protocol/faults.ts'
import type { LinkEnds } from '../protocol/host.ts'
import type { Network } from '../protocol/launch/resolved.ts'

export interface HostDefaults {
  env: Record<string, string | undefined>
  /** null: there is none now */
  link: LinkEnds | null
  /** interface of the default route */
  defaultInterface(): string | null
}

/**
 * @param network     what the role asks for; null: the node's default
 * @param interfaces  what `listInterfaces` says
 * @throws {Fault} WORKER_CONFIG, which names what exists, when nothing fits
 */
export function chooseHost(network: Network | null, interfaces: Interfaces, defaults: HostDefaults): string {
  if (network !== null) return chosen(network, interfaces)
  const { TROUPE_HOST: host, TROUPE_INTERFACE: named } = defaults.env
  if (host) return host
  if (named) return chosen(named.includes('/') ? { cidr: named } : { interface: named }, interfaces)
  const linked = ofLink(defaults.link, interfaces)
  if (linked !== null) return linked
  const routed = firstOf(interfaces[defaults.defaultInterface() ?? ''] ?? [])
  return routed ?? firstOf(interfaces['lo'] ?? []) ?? '127.0.0.1'
}

/** The settings that say the same as an option: an address, the name of an interface, or a CIDR block. */
export function addressSettings(address: string): Record<string, string> {
  return isIP(address) === 0 ? { TROUPE_INTERFACE: address, TROUPE_HOST: '' } : { TROUPE_HOST: address }
}

function ofLink(link: LinkEnds | null, interfaces: Interfaces): string | null {
  if (link === null) return null
  const [local, server] = [plainAddress(link.local), plainAddress(link.server)]
  if (isLinkLocal(local)) return null
  if (!isLoopback(local) || isLoopback(server)) return local
  // the bus is on this machine: peers elsewhere reach it there
  return Object.values(interfaces).some((addresses) => addresses.includes(server)) ? server : null
}

function chosen(network: Network, interfaces: Interfaces): string {
  const address = addressIn(network, interfaces)
  if (address !== null) return address
  if ('cidr' in network && inBlock(network.cidr) === null)
    throw new Fault('WORKER_CONFIG', `'${network.cidr}' is no CIDR such as 10.0.0.0/8 or fd00::/8`, {
      data: { ...network },
    })
  const missing =
    'cidr' in network
      ? `no address in ${network.cidr} here`
      : `no interface '${network.interface}' with an address here`
  throw new Fault('WORKER_CONFIG', `${missing}: there are ${interfacesText(interfaces)}`, {
    data: { ...network, interfaces },
  })
}
