/** Whether a launch could ever be placed: each worker alone, on some known node, if that were empty. Pure. */
import { Fault } from '../../protocol/faults.ts'
import { allResources, type Launch, type Resources, type Role } from '../../protocol/launch/resolved.ts'
import { allowed, isMeant, type NamedNode } from './node-words.ts'
import { isOnNetwork, networkText } from './node-network.ts'
import { KINDS, lacking, namesText, WORDS } from './placement.ts'
import type { Place, Places } from './places.ts'

/**
 * @throws {Fault} PLAN_INVALID with both numbers. Of nodes it says nothing while none is known, or while one
 * that the role names may yet join.
 */
export function checkPlan(launch: Launch, places: Places): void {
  for (const role of launch.roles) checkNamed(role, places)
  if (places.byName.size === 0) return
  for (const role of launch.roles) {
    if (role.nodelist.some((word) => places.named(word).length === 0)) continue
    for (const resources of distinct(allResources(role))) checkFits(role, resources, places)
  }
}

/** A word that means no node yet may be one's name. */
function checkNamed(role: Role, places: Places): void {
  const named = [...new Set(role.nodelist.flatMap((word) => namedBy(word, places)))]
    .filter((node) => allowed(role, node))
    .map(({ name }) => name)
  if (role.kind !== 'torchrun' || named.length === 0 || named.length >= role.minReplicas) return
  throw new Fault(
    'PLAN_INVALID',
    `role ${role.name} needs ${role.minReplicas} nodes; its nodelist allows ${named.length}: ${namesText(named)}`,
    {
      data: {
        role: role.name,
        resource: 'nodes',
        asked: role.minReplicas,
        largest: named.length,
        node: null,
      },
      hint: 'each worker of a torchrun role has a node of its own',
    },
  )
}

function namedBy(word: string, places: Places): NamedNode[] {
  const found = places.named(word)
  return found.length > 0 ? found : [{ name: word, host: '' }]
}

/** The places that a role may be placed on, one by one: the first that fits is often enough. */
function* candidatesOf(role: Role, places: Places): Generator<Place> {
  const all =
    role.nodelist.length > 0
      ? new Set(role.nodelist.flatMap((word) => places.named(word)))
      : places.byName.values()
  for (const place of all) {
    places.looked++
    if (allowed(role, place)) yield place
  }
}

function checkFits(role: Role, resources: Resources, places: Places): void {
  for (const place of candidatesOf(role, places))
    if (lacking(resources, place, place) === null && isOnNetwork(role, place)) return
  const allowedOnes = [...candidatesOf(role, places)]
  const candidates = allowedOnes.filter((place) => isOnNetwork(role, place))
  if (candidates.length === 0 && allowedOnes.length > 0) throw offNetwork(role, allowedOnes)
  if (candidates.length === 0) {
    const known = [...places.byName.values()]
    const excluded = known.filter((node) => role.exclude.some((word) => isMeant(word, node)))
    throw new Fault(
      'PLAN_INVALID',
      `role ${role.name} needs 1 node; of ${known.length} known it excludes ${excluded.length}, and 0 are left`,
      {
        data: { role: role.name, resource: 'nodes', asked: 1, largest: 0, node: null },
        hint: 'which there are: troupe nodes',
      },
    )
  }
  // the node that comes nearest says which number is wrong
  const kind =
    KINDS.find((k) => candidates.every((place) => resources[k] > place[k])) ??
    lacking(resources, candidates[0]!, candidates[0]!)!
  const best = candidates.toSorted((a, b) => b[kind] - a[kind])[0]!
  const trouble = kind === 'gpus' ? troubleText(candidates) : ''
  throw new Fault(
    'PLAN_INVALID',
    `role ${role.name} asks for ${WORDS[kind](resources[kind])} per worker; the largest known node (${best.name}) has ${WORDS[kind](best[kind])}${trouble}`,
    {
      data: { role: role.name, resource: kind, asked: resources[kind], largest: best[kind], node: best.name },
      hint:
        role.nodelist.length > 0
          ? `nodelist allows ${namesText(role.nodelist)}`
          : 'what each node has: troupe nodes',
    },
  )
}

function offNetwork(role: Role, nodes: readonly Place[]): Fault {
  return new Fault('PLAN_INVALID', networkText(role, nodes), {
    data: { role: role.name, resource: 'network', asked: 1, largest: 0, node: null },
    hint: 'what each node has: troupe nodes --json',
  })
}

/** A device that is missing may be why. */
function troubleText(candidates: readonly Place[]): string {
  const place = candidates.find(({ gpuTrouble }) => gpuTrouble !== undefined)
  return place === undefined ? '' : ` (${place.name}: ${place.gpuTrouble})`
}

function distinct(all: readonly Resources[]): Resources[] {
  return [...new Map(all.map((r) => [`${r.cpus} ${r.gpus} ${r.memoryBytes} ${r.share}`, r])).values()]
}
