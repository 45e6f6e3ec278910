/**
 * Which address peers are told: of the role's `network`, or the node's default. Never silently the first
 * network card.
 *
 * The default, in this order: TROUPE_HOST (an address, taken as it is), TROUPE_INTERFACE (a name), the
 * interface of the default route, loopback. Within an interface IPv4 comes before IPv6, each in the order of
 * the system.
 */
import { BlockList, isIP } from 'node:net'
import { Fault } from '../protocol/faults.ts'
import type { Network } from '../protocol/launch/resolved.ts'
import { defaultInterface, type Interfaces } from '../system/interfaces.ts'

export interface HostDefaults {
  env: Record<string, string | undefined>
  /** interface of the default route */
  defaultInterface: string | null
}

/**
 * @param network     what the role asks for; null: the node's default
 * @param interfaces  what `listInterfaces` says
 * @throws {Fault} WORKER_CONFIG, which names what exists, when nothing fits
 */
export function chooseHost(
  network: Network | null,
  interfaces: Interfaces,
  defaults: HostDefaults = { env: process.env, defaultInterface: defaultInterface() },
): string {
  if (network !== null)
    return 'interface' in network
      ? ofInterface(network.interface, interfaces)
      : ofCidr(network.cidr, interfaces)
  const { TROUPE_HOST: host, TROUPE_INTERFACE: named } = defaults.env
  if (host) return host
  if (named) return ofInterface(named, interfaces)
  const routed = defaults.defaultInterface === null ? null : pick(interfaces[defaults.defaultInterface] ?? [])
  return routed ?? pick(interfaces['lo'] ?? []) ?? '127.0.0.1'
}

function ofInterface(name: string, interfaces: Interfaces): string {
  const address = pick(interfaces[name] ?? [])
  if (address === null)
    throw new Fault(
      'WORKER_CONFIG',
      `no interface '${name}' with an address here: there are ${listing(interfaces)}`,
      { data: { interface: name, interfaces } },
    )
  return address
}

function ofCidr(cidr: string, interfaces: Interfaces): string {
  const [base = '', length = ''] = cidr.split('/')
  const family = isIP(base)
  if (family === 0 || !/^\d{1,3}$/.test(length) || Number(length) > (family === 4 ? 32 : 128))
    throw new Fault('WORKER_CONFIG', `'${cidr}' is no CIDR such as 10.0.0.0/8 or fd00::/8`, {
      data: { cidr },
    })
  const type = family === 4 ? 'ipv4' : 'ipv6'
  const range = new BlockList()
  range.addSubnet(base, Number(length), type)
  const address = Object.values(interfaces)
    .flat()
    .find((a) => isIP(a) === family && range.check(a, type))
  if (address === undefined)
    throw new Fault('WORKER_CONFIG', `no address in ${cidr} here: there are ${listing(interfaces)}`, {
      data: { cidr, interfaces },
    })
  return address
}

function pick(addresses: readonly string[]): string | null {
  return addresses.find((a) => isIP(a) === 4) ?? addresses[0] ?? null
}

function listing(interfaces: Interfaces): string {
  return (
    Object.entries(interfaces)
      .map(([name, addresses]) => `${name} (${addresses.join(', ')})`)
      .join(', ') || 'none'
  )
}
