/** Whether a node has the address that a role's `network` asks for, and what to say when none has. Pure. */
import { addressIn, interfacesText } from '../../protocol/addresses.ts'
import type { Role } from '../../protocol/launch/resolved.ts'
import type { Place } from './places.ts'

/** Has it the address that the role asks for? */
export function isOnNetwork({ network }: Role, { interfaces }: Place): boolean {
  return network === null || addressIn(network, interfaces) !== null
}

/** So many nodes are named. */
const NETWORKS_MAX = 2

/** Which network is lacking, and what the nodes have instead. */
export function networkText({ name, network }: Role, nodes: readonly Place[]): string {
  const wanted =
    'cidr' in network! ? `an address in ${network.cidr}` : `an address on interface ${network!.interface}`
  const have = nodes
    .slice(0, NETWORKS_MAX)
    .map(({ name: node, host, interfaces }) => `${node} (host ${host}) has ${interfacesText(interfaces)}`)
  const more = nodes.length - have.length
  return `role ${name} asks for ${wanted}: ${have.join('; ')}${more > 0 ? `; and ${more} more` : ''}`
}
