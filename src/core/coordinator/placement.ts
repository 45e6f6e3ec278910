/**
 * Where workers go. A run gets all its places at once or none; the ledger counts what is placed or reserved on a node until it is proven
 * gone. Least loaded first; torchrun's workers on nodes of their own. Pure: nothing here changes a node.
 */
import type { Resources, Role } from '../../protocol/resolved.ts'
import { Fault } from '../../protocol/faults.ts'
import type { Launch } from '../../protocol/resolved.ts'

export interface Place {
  name: string
  cpus: number
  gpus: number
  memoryBytes: number
  used: { cpus: number; gpus: number; memoryBytes: number }
  workers: number
  /** may get something new now */
  open: boolean
  /** others first */
  avoid: boolean
}

export interface Ask {
  role: Role
  index: number
}

export type Placed = { places: string[]; left: Ask[] } | { reason: string; /** it would fit if other work ended: later runs must wait */ holds: boolean }

export const asksNothing = (r: Resources): boolean => r.cpus === 0 && r.gpus === 0 && r.memoryBytes === 0

const GIB = 1024 ** 3
const bytesText = (bytes: number): string => (bytes >= GIB ? `${Math.round((bytes / GIB) * 10) / 10} GiB` : `${Math.round(bytes / 1024 / 1024)} MiB`)

type Kind = 'cpus' | 'gpus' | 'memoryBytes'
const KINDS: readonly Kind[] = ['gpus', 'cpus', 'memoryBytes']
const WORDS: Record<Kind, (n: number) => string> = {
  gpus: (n) => `${n} GPU${n === 1 ? '' : 's'}`,
  cpus: (n) => `${n} core${n === 1 ? '' : 's'}`,
  memoryBytes: (n) => `${bytesText(n)} of memory`,
}

/** Shared GPUs are not counted, only required to be there. */
export const weightOf = (r: Resources): { cpus: number; gpus: number; memoryBytes: number } => ({ cpus: r.cpus, gpus: r.share ? 0 : r.gpus, memoryBytes: r.memoryBytes })

const missing = (r: Resources, free: { cpus: number; gpus: number; memoryBytes: number }, place: Place): Kind | null => {
  if (r.share && r.gpus > place.gpus) return 'gpus'
  const weight = weightOf(r)
  return KINDS.find((kind) => weight[kind] > free[kind]) ?? null
}

export const allowed = (role: Role, name: string): boolean => (role.nodelist.length === 0 || role.nodelist.includes(name)) && !role.exclude.includes(name)

/**
 * Could each worker stand alone on some known node, if that were empty?
 *
 * @throws {Fault} PLAN_INVALID with both numbers. Says nothing while no node is known, or while a node that the role names may yet join.
 */
export const checkPlan = (launch: Launch, places: readonly Place[]): void => {
  if (places.length === 0) return
  for (const role of launch.roles) {
    if (role.nodelist.some((name) => !places.some((place) => place.name === name))) continue
    const candidates = places.filter((place) => allowed(role, place.name))
    if (candidates.length === 0) continue
    for (const resources of new Set(role.resources)) {
      if (candidates.some((place) => missing(resources, place, place) === null)) continue
      // the node that comes nearest says which number is wrong
      const kind = KINDS.find((k) => resources[k] > Math.max(...candidates.map((place) => place[k]))) ?? missing(resources, candidates[0]!, candidates[0]!)!
      const best = candidates.toSorted((a, b) => b[kind] - a[kind])[0]!
      throw new Fault('PLAN_INVALID', `role ${role.name} asks for ${WORDS[kind](resources[kind])} per worker; the largest known node (${best.name}) has ${WORDS[kind](best[kind])}`, {
        data: { role: role.name, resource: kind, asked: resources[kind], largest: best[kind], node: best.name },
        hint: role.nodelist.length > 0 ? `nodelist allows ${role.nodelist.join(', ')}` : 'troupe nodes shows what each node has',
      })
    }
  }
}

interface Free {
  place: Place
  free: { cpus: number; gpus: number; memoryBytes: number }
  workers: number
  /** torchrun roles that have a worker here */
  roles: Set<string>
}

const freeOf = (place: Place, empty: boolean): Free => ({
  place,
  free: empty
    ? { cpus: place.cpus, gpus: place.gpus, memoryBytes: place.memoryBytes }
    : { cpus: place.cpus - place.used.cpus, gpus: place.gpus - place.used.gpus, memoryBytes: place.memoryBytes - place.used.memoryBytes },
  workers: empty ? 0 : place.workers,
  roles: new Set(),
})

/** Fewest workers by its size first, then by name: the same request gets the same answer. */
const better = (a: Free, b: Free): boolean => {
  if (a.place.avoid !== b.place.avoid) return b.place.avoid
  const load = a.workers / Math.max(1, a.place.cpus) - b.workers / Math.max(1, b.place.cpus)
  return load !== 0 ? load < 0 : a.place.name < b.place.name
}

const tryAll = (asks: readonly Ask[], frees: readonly Free[], taken: ReadonlyMap<string, ReadonlySet<string>>): { places: string[]; left: Ask[] } | { failed: Ask; found: number } => {
  for (const [role, nodes] of taken) for (const free of frees) if (nodes.has(free.place.name)) free.roles.add(role)
  const places: string[] = []
  const left: Ask[] = []
  const placedOf = new Map<string, number>()
  for (const ask of asks) {
    const resources = ask.role.resources[ask.index]!
    let best: Free | null = null
    for (const free of frees) {
      if (!allowed(ask.role, free.place.name) || (ask.role.kind === 'torchrun' && free.roles.has(ask.role.name))) continue
      if (missing(resources, free.free, free.place) === null && (best === null || better(free, best))) best = free
    }
    const found = placedOf.get(ask.role.name) ?? 0
    if (best === null) {
      if (ask.role.kind !== 'torchrun' || found < ask.role.minReplicas) return { failed: ask, found }
      left.push(ask)
      continue
    }
    const weight = weightOf(resources)
    for (const kind of KINDS) best.free[kind] -= weight[kind]
    best.workers++
    if (ask.role.kind === 'torchrun') best.roles.add(ask.role.name)
    placedOf.set(ask.role.name, found + 1)
    places.push(best.place.name)
  }
  return { places, left }
}

/**
 * @param asks   hardest first is the caller's; torchrun's by index, so that an elastic role leaves out its last
 * @param taken  torchrun role → nodes that its other workers have already
 */
export const place = (asks: readonly Ask[], places: readonly Place[], taken: ReadonlyMap<string, ReadonlySet<string>> = new Map()): Placed => {
  if (places.length === 0) return { reason: 'waiting for nodes: none has joined', holds: false }
  const now = tryAll(asks, places.filter((p) => p.open).map((p) => freeOf(p, false)), taken)
  if (!('failed' in now)) return now
  const { role, index } = now.failed
  const resources = role.resources[index]!
  const wanted = KINDS.filter((kind) => resources[kind] > 0).map((kind) => WORDS[kind](resources[kind]))
  const fitting = places.filter((p) => allowed(role, p.name))
  const holds = !('failed' in tryAll(asks, places.filter((p) => p.open).map((p) => freeOf(p, true)), taken))
  const unknown = role.nodelist.filter((name) => !places.some((p) => p.name === name))
  const open = fitting.filter((p) => p.open)
  let reason: string
  if (unknown.length > 0 && open.length === 0) reason = `waiting for nodes: role ${role.name} wants ${role.nodelist.join(', ')}, and ${unknown.join(', ')} has not joined`
  else if (open.length === 0) reason = `waiting for nodes: none of the ${places.length} known may run role ${role.name}`
  else if (role.kind === 'torchrun' && open.length < role.minReplicas) reason = `waiting for nodes: role ${role.name} needs ${role.minReplicas} nodes, ${open.length} ${open.length === 1 ? 'is' : 'are'} there`
  else if (wanted.length === 0) reason = `waiting for nodes: no node for ${role.name}/${index}`
  else {
    const roomiest = open.map((p) => freeOf(p, false)).toSorted((a, b) => KINDS.reduce((order, kind) => order || (resources[kind] > 0 ? b.free[kind] - a.free[kind] : 0), 0))[0]!
    const has = KINDS.filter((kind) => resources[kind] > 0).map((kind) => WORDS[kind](Math.max(0, roomiest.free[kind])))
    reason = `waiting for ${wanted.join(', ')} for ${role.name}/${index}: ${roomiest.place.name} has ${has.join(', ')} free${now.found > 0 ? ` after ${now.found} of its role` : ''}${holds ? '' : '; not enough even when all nodes are empty'}`
  }
  return { reason, holds }
}
