/**
 * Runs that wait for a place: which of them are due to be looked at, which wait for what, and which one holds
 * back those behind it. Owns the order and the indices; the looking is done in queue.ts.
 */
import { heapOf, type Heap } from './heap.ts'
import type { Kind } from './placement.ts'

/** `due`: to be looked at. `held`: behind one that holds. `waits`: until an event can help. */
export interface Entry<T> {
  readonly run: T
  readonly at: number
  readonly seq: number
  state: 'due' | 'held' | 'waits'
  /** keys of the nodes that it may be placed on (node-words.ts); null: on any */
  names: ReadonlySet<string> | null
  /** what could not be placed, and how many more of them have to find room */
  stuck: (Kind & { missing: number }) | null
}

export interface WaitQueue<T> {
  readonly size: number
  readonly holder: Entry<T> | null
  /** by a node's key; those that wait for any node are under null */
  readonly waiting: ReadonlyMap<string | null, ReadonlySet<Entry<T>>>
  /** an event may have helped them, but hardly enough: they are looked at with the next tick */
  readonly late: Set<Entry<T>>
  has(run: T): boolean
  /** @param at  earlier ones first */
  enter(run: T, at: number): void
  /** @returns whether those behind it may be looked at now */
  leave(run: T): boolean
  /** the first that is due; with nobody holding, also of those that were held */
  next(): Entry<T> | null
  isBehindHolder(entry: Entry<T>): boolean
  makeDue(entry: Entry<T>): void
  hold(entry: Entry<T>): void
  wait(entry: Entry<T>, waits: Pick<Entry<T>, 'names' | 'stuck'> & { holds: boolean }): void
}

/** Entries by the names that they wait for. */
function waitIndex<T>() {
  const byName = new Map<string | null, Set<Entry<T>>>()
  return {
    byName,
    add(entry: Entry<T>): void {
      for (const name of entry.names ?? [null]) byName.set(name, (byName.get(name) ?? new Set()).add(entry))
    },
    drop(entry: Entry<T>): void {
      for (const name of entry.names ?? [null]) {
        const others = byName.get(name)
        if (others?.delete(entry) === true && others.size === 0) byName.delete(name)
      }
    },
  }
}

export function newWaitQueue<T>(): WaitQueue<T> {
  const entries = new Map<T, Entry<T>>()
  const isBefore = (a: Entry<T>, b: Entry<T>): boolean => a.at < b.at || (a.at === b.at && a.seq < b.seq)
  const due: Heap<Entry<T>> = heapOf(isBefore)
  const held: Heap<Entry<T>> = heapOf(isBefore)
  const waiting = waitIndex<T>()
  const late = new Set<Entry<T>>()
  let holder: Entry<T> | null = null
  let seq = 0

  const takeOut = (entry: Entry<T>): void => {
    due.remove(entry)
    held.remove(entry)
    late.delete(entry)
    if (entry.state === 'waits') waiting.drop(entry)
  }

  return {
    get size() {
      return entries.size
    },
    get holder() {
      return holder
    },
    waiting: waiting.byName,
    late,
    has: (run) => entries.has(run),
    enter(run, at) {
      if (entries.has(run)) return
      const entry: Entry<T> = { run, at, seq: ++seq, state: 'due', names: null, stuck: null }
      entries.set(run, entry)
      due.push(entry)
    },
    leave(run) {
      const entry = entries.get(run)
      if (entry === undefined) return false
      takeOut(entry)
      entries.delete(run)
      if (holder !== entry) return false
      holder = null
      return true
    },
    next() {
      const [a, b] = [due.first(), holder === null ? held.first() : undefined]
      return (a !== undefined && b !== undefined ? (isBefore(a, b) ? a : b) : (a ?? b)) ?? null
    },
    isBehindHolder: (entry) => holder !== null && holder !== entry && isBefore(holder, entry),
    makeDue(entry) {
      if (entry.state !== 'waits') return
      takeOut(entry)
      entry.state = 'due'
      due.push(entry)
    },
    hold(entry) {
      takeOut(entry)
      entry.state = 'held'
      held.push(entry)
    },
    wait(entry, { names, stuck, holds }) {
      takeOut(entry)
      Object.assign(entry, { state: 'waits', names, stuck })
      waiting.add(entry)
      if (holds) holder = entry
      else if (holder === entry) holder = null
    },
  }
}
