/**
 * The nodes as placement sees them: each a place, kept in order of load and changed one by one. Owns the
 * order; what is taken on a node is counted in node-usage.ts.
 */
import { isLoopback, type Interfaces } from '../../protocol/addresses.ts'
import { heapOf, type Heap } from './heap.ts'
import { isMeant, keysOfNode, keysOfWord } from './node-words.ts'

export interface Amounts {
  cpus: number
  gpus: number
  memoryBytes: number
}

/** Never changed: a node whose usage changes gets a new place. */
export interface Place extends Readonly<Amounts> {
  readonly name: string
  /** host name of its machine */
  readonly host: string
  /** for its peers */
  readonly address: string
  readonly interfaces: Interfaces
  readonly used: Readonly<Amounts>
  readonly workers: number
  /** why it may have fewer GPUs than it should */
  readonly gpuTrouble?: string
  /** places that give out the same GPUs, and how many of them: what is taken here is taken there */
  readonly gpuPeers?: ReadonlyMap<string, number>
  /** may get something new now */
  readonly open: boolean
  /** others first */
  readonly avoid: boolean
}

export interface Places {
  readonly byName: ReadonlyMap<string, Place>
  /** open ones, the least loaded first */
  readonly loaded: Heap<Place>
  /** open ones, in the order that they would have if they were empty */
  readonly empty: Heap<Place>
  /**
   * places that were looked at so far: the cost of what was placed, in a number that does not depend on a
   * clock
   */
  looked: number
  /** those that a word of a nodelist means */
  named(word: string): Place[]
  /** so many have a loopback address, and so many machines there are, by their host names */
  readonly loopbacks: number
  readonly machines: number
  /** @param place  null: there is no such place any more */
  set(name: string, place: Place | null): void
}

export interface Rank {
  place: Place
  workers: number
}

/** Fewest workers by its size first, then by name: the same request gets the same answer. */
export function better(a: Rank, b: Rank): boolean {
  if (a.place.avoid !== b.place.avoid) return b.place.avoid
  const load = a.workers / Math.max(1, a.place.cpus) - b.workers / Math.max(1, b.place.cpus)
  return load !== 0 ? load < 0 : a.place.name < b.place.name
}

export function newPlaces(given: readonly Place[] = []): Places {
  const byName = new Map<string, Place>()
  const loaded = heapOf<Place>((a, b) =>
    better({ place: a, workers: a.workers }, { place: b, workers: b.workers }),
  )
  const empty = heapOf<Place>((a, b) => better({ place: a, workers: 0 }, { place: b, workers: 0 }))
  const byKey = new Map<string, Set<string>>()
  const hosts = new Map<string, number>()
  let loopbacks = 0
  const count = (place: Place, sign: 1 | -1): void => {
    if (isLoopback(place.address)) loopbacks += sign
    const of = (hosts.get(place.host) ?? 0) + sign
    if (of > 0) hosts.set(place.host, of)
    else hosts.delete(place.host)
    for (const key of keysOfNode(place)) {
      const names = byKey.get(key) ?? new Set()
      if (sign > 0) byKey.set(key, names.add(place.name))
      else if (names.delete(place.name) && names.size === 0) byKey.delete(key)
    }
  }
  const places: Places = {
    byName,
    loaded,
    empty,
    looked: 0,
    named: (word) =>
      [...new Set(keysOfWord(word).flatMap((key) => [...(byKey.get(key) ?? [])]))]
        .map((name) => byName.get(name)!)
        .filter((place) => isMeant(word, place)),
    get loopbacks() {
      return loopbacks
    },
    get machines() {
      return hosts.size
    },
    set(name, place) {
      const old = byName.get(name)
      if (old !== undefined) {
        loaded.remove(old)
        empty.remove(old)
        count(old, -1)
      }
      if (place === null) return void byName.delete(name)
      byName.set(name, place)
      count(place, 1)
      if (!place.open) return
      loaded.push(place)
      empty.push(place)
    },
  }
  for (const place of given) places.set(place.name, place)
  return places
}
