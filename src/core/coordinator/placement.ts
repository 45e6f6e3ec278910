/**
 * Where workers go. A run gets all its places at once or none; node-usage.ts counts what is placed or reserved
 * on a node until it is proven gone. Least loaded first; torchrun's workers on nodes of their own. Pure:
 * nothing here changes a node.
 */
import { Fault } from '../../protocol/faults.ts'
import { allResources, resourcesOf, type Launch, type Resources, type Role } from '../../protocol/resolved.ts'

export interface Place {
  name: string
  cpus: number
  gpus: number
  memoryBytes: number
  used: { cpus: number; gpus: number; memoryBytes: number }
  workers: number
  /** places that give out the same GPUs, and how many of them: what is taken here is taken there */
  gpuPeers?: ReadonlyMap<string, number>
  /** may get something new now */
  open: boolean
  /** others first */
  avoid: boolean
}

export interface Ask {
  role: Role
  index: number
}

export type Placed =
  | { places: string[]; left: Ask[] }
  | { reason: string; /** it would fit if other work ended: later runs must wait */ holds: boolean }

export function asksNothing(r: Resources): boolean {
  return r.cpus === 0 && r.gpus === 0 && r.memoryBytes === 0
}

const GIB = 1024 ** 3
function bytesText(bytes: number): string {
  return bytes >= GIB
    ? `${Math.round((bytes / GIB) * 10) / 10} GiB`
    : `${Math.round(bytes / 1024 / 1024)} MiB`
}

type Kind = 'cpus' | 'gpus' | 'memoryBytes'
const KINDS: readonly Kind[] = ['gpus', 'cpus', 'memoryBytes']
const WORDS: Record<Kind, (n: number) => string> = {
  gpus: (n) => `${n} GPU${n === 1 ? '' : 's'}`,
  cpus: (n) => `${n} core${n === 1 ? '' : 's'}`,
  memoryBytes: (n) => `${bytesText(n)} of memory`,
}

/** Shared GPUs are not counted, only required to be there. */
export function weightOf(r: Resources): { cpus: number; gpus: number; memoryBytes: number } {
  return { cpus: r.cpus, gpus: r.share ? 0 : r.gpus, memoryBytes: r.memoryBytes }
}

function missing(
  r: Resources,
  free: { cpus: number; gpus: number; memoryBytes: number },
  place: Place,
): Kind | null {
  if (r.share && r.gpus > place.gpus) return 'gpus'
  const weight = weightOf(r)
  return KINDS.find((kind) => weight[kind] > free[kind]) ?? null
}

function allowed(role: Role, name: string): boolean {
  return (role.nodelist.length === 0 || role.nodelist.includes(name)) && !role.exclude.includes(name)
}

/**
 * Could each worker stand alone on some known node, if that were empty?
 *
 * @throws {Fault} PLAN_INVALID with both numbers. Of nodes it says nothing while none is known, or while one
 * that the role names may yet join.
 */
export function checkPlan(launch: Launch, places: readonly Place[]): void {
  for (const role of launch.roles) {
    const named = [...new Set(role.nodelist)].filter((name) => allowed(role, name))
    if (role.kind === 'torchrun' && named.length > 0 && named.length < role.minReplicas)
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
  if (places.length === 0) return
  for (const role of launch.roles) {
    if (role.nodelist.some((name) => !places.some((place) => place.name === name))) continue
    const candidates = places.filter((place) => allowed(role, place.name))
    if (candidates.length === 0) {
      const excluded = places.map((place) => place.name).filter((name) => role.exclude.includes(name))
      throw new Fault(
        'PLAN_INVALID',
        `role ${role.name} needs 1 node; of ${places.length} known it excludes ${excluded.length}, and 0 are left`,
        {
          data: { role: role.name, resource: 'nodes', asked: 1, largest: 0, node: null },
          hint: 'troupe nodes shows which there are',
        },
      )
    }
    for (const resources of distinct(allResources(role))) {
      if (candidates.some((place) => missing(resources, place, place) === null)) continue
      // the node that comes nearest says which number is wrong
      const kind =
        KINDS.find((k) => resources[k] > Math.max(...candidates.map((place) => place[k]))) ??
        missing(resources, candidates[0]!, candidates[0]!)!
      const best = candidates.toSorted((a, b) => b[kind] - a[kind])[0]!
      throw new Fault(
        'PLAN_INVALID',
        `role ${role.name} asks for ${WORDS[kind](resources[kind])} per worker; the largest known node (${best.name}) has ${WORDS[kind](best[kind])}`,
        {
          data: {
            role: role.name,
            resource: kind,
            asked: resources[kind],
            largest: best[kind],
            node: best.name,
          },
          hint:
            role.nodelist.length > 0
              ? `nodelist allows ${namesText(role.nodelist)}`
              : 'troupe nodes shows what each node has',
        },
      )
    }
  }
}

function distinct(all: readonly Resources[]): Resources[] {
  return [...new Map(all.map((r) => [`${r.cpus} ${r.gpus} ${r.memoryBytes} ${r.share}`, r])).values()]
}

interface Free {
  place: Place
  free: { cpus: number; gpus: number; memoryBytes: number }
  workers: number
  /** torchrun roles that have a worker here */
  roles: Set<string>
}

function freeOf(place: Place, empty: boolean): Free {
  return {
    place,
    free: empty
      ? { cpus: place.cpus, gpus: place.gpus, memoryBytes: place.memoryBytes }
      : {
          cpus: place.cpus - place.used.cpus,
          gpus: place.gpus - place.used.gpus,
          memoryBytes: place.memoryBytes - place.used.memoryBytes,
        },
    workers: empty ? 0 : place.workers,
    roles: new Set(),
  }
}

/** Fewest workers by its size first, then by name: the same request gets the same answer. */
function better(a: Free, b: Free): boolean {
  if (a.place.avoid !== b.place.avoid) return b.place.avoid
  const load = a.workers / Math.max(1, a.place.cpus) - b.workers / Math.max(1, b.place.cpus)
  return load !== 0 ? load < 0 : a.place.name < b.place.name
}

/**
 * Each ask takes the best node that can hold it. Nodes are kept in a heap, and what cannot hold one ask is
 * laid aside for the equal ones that follow: 10,000 workers on 10,000 nodes are placed in the time of a few
 * comparisons each.
 */
function tryAll(
  asks: readonly Ask[],
  frees: readonly Free[],
  taken: ReadonlyMap<string, ReadonlySet<string>>,
): { places: string[]; left: Ask[] } | { failed: Ask; found: number } {
  for (const [role, nodes] of taken)
    for (const free of frees) if (nodes.has(free.place.name)) free.roles.add(role)
  const byName = new Map(
    frees.some((free) => free.place.gpuPeers !== undefined)
      ? frees.map((free) => [free.place.name, free])
      : [],
  )
  const heap = heapOf(frees)
  const places: string[] = []
  const left: Ask[] = []
  const placedOf = new Map<string, number>()
  let aside: Free[] = []
  let asideFor = ''
  for (const ask of asks) {
    const { role } = ask
    const resources = resourcesOf(role, ask.index)
    const kind = `${role.name} ${resources.cpus} ${resources.gpus} ${resources.memoryBytes} ${resources.share}`
    if (kind !== asideFor) {
      for (const free of aside) heap.push(free)
      aside = []
      asideFor = kind
    }
    const fits = (free: Free): boolean =>
      allowed(role, free.place.name) &&
      !(role.kind === 'torchrun' && free.roles.has(role.name)) &&
      missing(resources, free.free, free.place) === null
    let best = heap.pop()
    while (best !== undefined && !fits(best)) {
      aside.push(best)
      best = heap.pop()
    }
    const found = placedOf.get(role.name) ?? 0
    if (best === undefined) {
      if (role.kind !== 'torchrun' || found < role.minReplicas) return { failed: ask, found }
      left.push(ask)
      continue
    }
    const weight = weightOf(resources)
    for (const one of KINDS) best.free[one] -= weight[one]
    for (const [name, common] of best.place.gpuPeers ?? []) {
      const peer = byName.get(name)
      if (peer !== undefined) peer.free.gpus -= Math.min(weight.gpus, common)
    }
    best.workers++
    if (role.kind === 'torchrun') best.roles.add(role.name)
    placedOf.set(role.name, found + 1)
    places.push(best.place.name)
    heap.push(best)
  }
  return { places, left }
}

function heapOf(frees: readonly Free[]): { push(free: Free): void; pop(): Free | undefined } {
  const items: Free[] = []
  const push = (free: Free): void => {
    let i = items.push(free) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!better(free, items[parent]!)) break
      items[i] = items[parent]!
      i = parent
    }
    items[i] = free
  }
  const pop = (): Free | undefined => {
    const top = items[0]
    const last = items.pop()
    if (top === undefined || items.length === 0) return top
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= items.length) break
      if (child + 1 < items.length && better(items[child + 1]!, items[child]!)) child++
      if (!better(items[child]!, last!)) break
      items[i] = items[child]!
      i = child
    }
    items[i] = last!
    return top
  }
  for (const free of frees) push(free)
  return { push, pop }
}

/** A reason is a line. */
const NAMED_MAX = 3
function namesText(names: readonly string[]): string {
  const more = names.length - NAMED_MAX
  return `${names.slice(0, NAMED_MAX).join(', ')}${more > 0 ? `, and ${more} more` : ''}`
}

/**
 * @param asks hardest first is the caller's; torchrun's by index, so that an elastic role leaves out its last
 * @param taken torchrun role → nodes that its other workers have already
 */
export function place(
  asks: readonly Ask[],
  places: readonly Place[],
  taken: ReadonlyMap<string, ReadonlySet<string>> = new Map(),
): Placed {
  if (places.length === 0) return { reason: 'waiting for nodes: none has joined', holds: false }
  const now = tryAll(
    asks,
    places.filter((p) => p.open).map((p) => freeOf(p, false)),
    taken,
  )
  if (!('failed' in now)) return now
  const { role, index } = now.failed
  const resources = resourcesOf(role, index)
  const wanted = KINDS.filter((kind) => resources[kind] > 0).map((kind) => WORDS[kind](resources[kind]))
  const fitting = places.filter((p) => allowed(role, p.name))
  const holds = !(
    'failed' in
    tryAll(
      asks,
      places.filter((p) => p.open).map((p) => freeOf(p, true)),
      taken,
    )
  )
  const unknown = role.nodelist.filter((name) => !places.some((p) => p.name === name))
  const open = fitting.filter((p) => p.open)
  const closed = fitting.filter((p) => !p.open).map((p) => p.name)
  let reason: string
  if (unknown.length > 0 && open.length === 0)
    reason = `waiting for nodes: role ${role.name} wants ${namesText(role.nodelist)}, and ${namesText(unknown)} has not joined`
  else if (open.length === 0)
    reason = `waiting for nodes: none of the ${places.length} known may run role ${role.name}`
  else if (role.kind === 'torchrun' && open.length < role.minReplicas)
    reason = `waiting for nodes: role ${role.name} needs ${role.minReplicas} nodes, ${open.length} ${open.length === 1 ? 'is' : 'are'} there`
  else if (wanted.length === 0) reason = `waiting for nodes: no node for ${role.name}/${index}`
  else {
    const roomiest = open
      .map((p) => freeOf(p, false))
      .toSorted((a, b) =>
        KINDS.reduce((order, kind) => order || (resources[kind] > 0 ? b.free[kind] - a.free[kind] : 0), 0),
      )[0]!
    const has = KINDS.filter((kind) => resources[kind] > 0).map((kind) =>
      WORDS[kind](Math.max(0, roomiest.free[kind])),
    )
    reason = `waiting for ${wanted.join(', ')} for ${role.name}/${index}: ${roomiest.place.name} has ${has.join(', ')} free${now.found > 0 ? ` after ${now.found} of its role` : ''}${holds ? '' : '; not enough even when all nodes are empty'}`
  }
  if (closed.length > 0) reason += ` (not counted, draining or silent: ${namesText(closed)})`
  return { reason, holds }
}
