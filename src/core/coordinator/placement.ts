/**
 * Where workers go. A run gets all its places at once or none; node-usage.ts counts what is placed or
 * reserved on a node until it is proven gone. Least loaded first; torchrun's workers on nodes of their own.
 * Pure: nothing here changes a node.
 */
import { resourcesOf, type Resources, type Role } from '../../protocol/launch/resolved.ts'
import { heapOf, type Heap } from './heap.ts'
import { isOnNetwork, networkText } from './node-network.ts'
import { allowed } from './node-words.ts'
import { better, type Amounts, type Place, type Places } from './places.ts'

export interface Ask {
  role: Role
  index: number
}

/** Workers of one role that ask for the same. */
export interface Kind {
  role: Role
  resources: Resources
}

export interface Refused {
  reason: string
  /** it would fit if other work ended: later runs must wait */
  holds: boolean
  /** which workers found no place, and how many of that kind are without one; null: no node is known */
  stuck: (Kind & { missing: number }) | null
}

export type Placed = { places: string[]; left: Ask[] } | Refused

export function asksNothing(r: Resources): boolean {
  return r.cpus === 0 && r.gpus === 0 && r.memoryBytes === 0
}

const GIB = 1024 ** 3
function bytesText(bytes: number): string {
  return bytes >= GIB
    ? `${Math.round((bytes / GIB) * 10) / 10} GiB`
    : `${Math.round(bytes / 1024 / 1024)} MiB`
}

export const KINDS: readonly (keyof Amounts)[] = ['gpus', 'cpus', 'memoryBytes']
export const WORDS: Record<keyof Amounts, (n: number) => string> = {
  gpus: (n) => `${n} GPU${n === 1 ? '' : 's'}`,
  cpus: (n) => `${n} core${n === 1 ? '' : 's'}`,
  memoryBytes: (n) => `${bytesText(n)} of memory`,
}

/** Shared GPUs are not counted, only required to be there. */
export function weightOf(r: Resources): Amounts {
  return { cpus: r.cpus, gpus: r.share ? 0 : r.gpus, memoryBytes: r.memoryBytes }
}

export function lacking(r: Resources, free: Amounts, place: Place): keyof Amounts | null {
  if (r.share && r.gpus > place.gpus) return 'gpus'
  const weight = weightOf(r)
  return KINDS.find((kind) => weight[kind] > free[kind]) ?? null
}

function mayRun(role: Role, place: Place): boolean {
  return allowed(role, place) && isOnNetwork(role, place)
}

export function freeIn(place: Place): Amounts {
  return {
    cpus: place.cpus - place.used.cpus,
    gpus: place.gpus - place.used.gpus,
    memoryBytes: place.memoryBytes - place.used.memoryBytes,
  }
}

/** How many workers of this kind a place has room for now; 1 for those that ask for nothing. */
export function roomFor({ role, resources }: Kind, place: Place): number {
  if (!place.open || !mayRun(role, place)) return 0
  const free = freeIn(place)
  if (lacking(resources, free, place) !== null) return 0
  if (role.kind === 'torchrun') return 1
  const weight = weightOf(resources)
  const most = Math.min(...KINDS.map((kind) => (weight[kind] > 0 ? free[kind] / weight[kind] : Infinity)))
  return Number.isFinite(most) ? Math.floor(most) : 1
}

/** A place while somebody is placed: what is left of it, and how many workers it would have. */
interface Free {
  readonly place: Place
  readonly free: Amounts
  workers: number
  /** torchrun roles that have a worker here */
  readonly roles: Set<string>
}

type Taken = ReadonlyMap<string, ReadonlySet<string>>
type Tried = { places: string[]; left: Ask[] } | { failed: Ask; found: number; missing: number }

/**
 * Places are drawn from the kept order, the best one first, and only as far as they are needed; what was
 * drawn is put back in the end.
 */
function drawing(places: Places, empty: boolean, taken: Taken) {
  const order = empty ? places.empty : places.loaded
  const drawn = new Map<string, Free>()
  const near = heapOf<Free>(better)

  const draw = (place: Place): Free => {
    places.looked++
    order.remove(place)
    const { cpus, gpus, memoryBytes } = place
    const free: Free = {
      place,
      free: empty ? { cpus, gpus, memoryBytes } : freeIn(place),
      workers: empty ? 0 : place.workers,
      roles: new Set([...taken].flatMap(([role, nodes]) => (nodes.has(place.name) ? role : []))),
    }
    drawn.set(place.name, free)
    return free
  }
  return {
    near,
    /** those that a word means, when they are open */
    named(word: string): Free[] {
      return places.named(word).flatMap((place) => {
        const free = drawn.get(place.name)
        if (free === undefined) return place.open ? draw(place) : []
        near.remove(free)
        return free
      })
    },
    best(): Free | undefined {
      const [a, b] = [near.first(), order.first()]
      const fresh =
        b !== undefined && (a === undefined || better({ place: b, workers: empty ? 0 : b.workers }, a))
      return fresh ? draw(b) : near.pop()
    },
    /** what is taken of GPUs in common is taken there, too */
    takePeers(place: Place, gpus: number): void {
      for (const [name, common] of place.gpuPeers ?? []) {
        const known = drawn.get(name)
        const peer = places.byName.get(name)
        const free = known ?? (peer?.open === true ? draw(peer) : null)
        if (free === null) continue
        free.free.gpus -= Math.min(gpus, common)
        if (known === undefined) near.push(free)
      }
    },
    putBack(): void {
      for (const { place } of drawn.values()) order.push(place)
    },
  }
}

/**
 * Each ask takes the best place that can hold it. A place that cannot hold one ask is laid aside for the
 * equal ones that follow: 10,000 workers on 10,000 nodes are placed in the time of a few comparisons each.
 */
function tryAll(asks: readonly Ask[], places: Places, empty: boolean, taken: Taken): Tried {
  const draw = drawing(places, empty, taken)
  const found: string[] = []
  const left: Ask[] = []
  const placedOf = new Map<string, number>()
  let kind: Kind | null = null
  /** places that a role names, and those that cannot hold this kind */
  let named: Heap<Free> | null = null
  let aside: Free[] = []
  const begin = (role: Role): void => {
    for (const free of aside) draw.near.push(free)
    for (let free = named?.pop(); free !== undefined; free = named?.pop()) draw.near.push(free)
    aside = []
    named = role.nodelist.length === 0 ? null : heapOf<Free>(better)
    for (const free of new Set([...new Set(role.nodelist)].flatMap((word) => draw.named(word))))
      named!.push(free)
  }
  try {
    for (const [i, ask] of asks.entries()) {
      const { role } = ask
      const resources = resourcesOf(role, ask.index)
      const next: Kind = { role, resources }
      if (kind === null || !isSame(kind, next)) begin(role)
      kind = next
      const from = (): Free | undefined => (named === null ? draw.best() : named.pop())
      let best = from()
      while (best !== undefined && !fits(role, resources, best)) {
        aside.push(best)
        best = from()
      }
      const before = placedOf.get(role.name) ?? 0
      if (best === undefined) {
        if (role.kind === 'torchrun' && before >= role.minReplicas) left.push(ask)
        else return { failed: ask, found: before, missing: missingFrom(asks, i, before) }
        continue
      }
      const weight = weightOf(resources)
      for (const one of KINDS) best.free[one] -= weight[one]
      best.workers++
      if (role.kind === 'torchrun') best.roles.add(role.name)
      placedOf.set(role.name, before + 1)
      found.push(best.place.name)
      if (named === null) draw.near.push(best)
      else named.push(best)
      draw.takePeers(best.place, weight.gpus)
    }
    return { places: found, left }
  } finally {
    draw.putBack()
  }
}

function isSame(a: Kind, b: Kind): boolean {
  if (a.role !== b.role) return false
  const [r, q] = [a.resources, b.resources]
  return r === q || (KINDS.every((kind) => r[kind] === q[kind]) && r.share === q.share)
}

function fits(role: Role, resources: Resources, { place, free, roles }: Free): boolean {
  return (
    mayRun(role, place) &&
    !(role.kind === 'torchrun' && roles.has(role.name)) &&
    lacking(resources, free, place) === null
  )
}

/** Workers of the kind of this ask that have no place; an elastic role needs its least number alone. */
function missingFrom(asks: readonly Ask[], from: number, found: number): number {
  const { role, index } = asks[from]!
  if (role.kind === 'torchrun') return role.minReplicas - found
  const kind = { role, resources: resourcesOf(role, index) }
  return asks
    .slice(from)
    .filter((ask) => isSame(kind, { role: ask.role, resources: resourcesOf(ask.role, ask.index) })).length
}

/**
 * @param asks hardest first is the caller's; torchrun's by index, so that an elastic role leaves out its last
 * @param taken torchrun role → nodes that its other workers have already
 */
export function place(asks: readonly Ask[], places: Places, taken: Taken = new Map()): Placed {
  if (places.byName.size === 0)
    return { reason: 'waiting for nodes: none has joined', holds: false, stuck: null }
  const now = tryAll(asks, places, false, taken)
  if (!('failed' in now)) return now
  const { role, index } = now.failed
  const holds = !('failed' in tryAll(asks, places, true, taken))
  return {
    reason: reasonFor(now.failed, now.found, holds, places),
    holds,
    stuck: { role, resources: resourcesOf(role, index), missing: now.missing },
  }
}

/** A reason is a line. */
const NAMED_MAX = 3
export function namesText(names: readonly string[]): string {
  const more = names.length - NAMED_MAX
  return `${names.slice(0, NAMED_MAX).join(', ')}${more > 0 ? `, and ${more} more` : ''}`
}

function reasonFor({ role, index }: Ask, found: number, holds: boolean, places: Places): string {
  const named = [...new Set(role.nodelist)]
  const candidates =
    named.length > 0 ? [...new Set(named.flatMap((word) => places.named(word)))] : [...places.byName.values()]
  places.looked += candidates.length
  const fitting = candidates.filter((one) => allowed(role, one))
  const unknown = role.nodelist.filter((word) => places.named(word).length === 0)
  const there = fitting.filter((one) => one.open)
  const open = there.filter((one) => isOnNetwork(role, one))
  const closed = fitting.filter((one) => !one.open).map(({ name }) => name)
  const text = ((): string => {
    if (open.length === 0 && there.length > 0) return `waiting for nodes: ${networkText(role, there)}`
    if (unknown.length > 0 && open.length === 0)
      return `waiting for nodes: role ${role.name} wants ${namesText(role.nodelist)}, and ${namesText(unknown)} has not joined`
    if (open.length === 0)
      return `waiting for nodes: none of the ${places.byName.size} known may run role ${role.name}`
    if (role.kind === 'torchrun' && open.length < role.minReplicas)
      return `waiting for nodes: role ${role.name} needs ${role.minReplicas} nodes, ${open.length} ${open.length === 1 ? 'is' : 'are'} there`
    return roomText({ role, index }, found, holds, open)
  })()
  if (closed.length === 0) return text
  return `${text} (not counted, draining or silent: ${namesText(closed)})`
}

/** What is asked for, and what the roomiest node has of it. */
function roomText({ role, index }: Ask, found: number, holds: boolean, open: readonly Place[]): string {
  const resources = resourcesOf(role, index)
  const wanted = KINDS.filter((kind) => resources[kind] > 0)
  if (wanted.length === 0) return `waiting for nodes: no node for ${role.name}/${index}`
  const roomier = (a: Amounts, b: Amounts): number =>
    wanted.reduce((order, kind) => order || b[kind] - a[kind], 0)
  const [roomiest] = open
    .map((one) => ({ name: one.name, free: freeIn(one) }))
    .toSorted((a, b) => roomier(a.free, b.free))
  const has = wanted.map((kind) => WORDS[kind](Math.max(0, roomiest!.free[kind])))
  const asked = wanted.map((kind) => WORDS[kind](resources[kind]))
  const after = found > 0 ? ` after ${found} of its role` : ''
  const never = holds ? '' : '; not enough even when all nodes are empty'
  const there = `${roomiest!.name} has ${has.join(', ')} free${after}${never}`
  return `waiting for ${asked.join(', ')} for ${role.name}/${index}: ${there}`
}
