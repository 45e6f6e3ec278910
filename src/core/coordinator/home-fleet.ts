/**
 * A fleet that `troupe up` started on one machine: its agents are `n0`, `n1`, …, each gives out all that the
 * machine has, and GPUs are the same for all. What its nodes would be like with other agents, on paper.
 */
import { placeOf } from './node-usage.ts'
import { newPlaces, type Place, type Places } from './places.ts'
import type { Ctx, NodeLive } from './types.ts'

/** The number of an agent that `up` starts under this name; null: it starts none of that name. */
export function homeAgent(name: string): number | null {
  const [, number] = /^n(0|[1-9]\d{0,3})$/.exec(name) ?? []
  return number === undefined ? null : Number(number)
}

/** `up` would start its agent again. */
export function isAway(node: NodeLive): boolean {
  return node.state !== 'ready' || node.leaving || node.capacity === null
}

/** `started`: so many agents `up` was asked for at least. `named`: so many the launches that wait name. */
export function nodesAtHome({ s }: Ctx): { started: number; named: number } {
  const count = (names: Iterable<string>): number =>
    [...names].reduce((most, name) => Math.max(most, (homeAgent(name) ?? -1) + 1), 0)
  return {
    started: count([...s.nodes.values()].filter((node) => node.incarnation !== null).map(({ name }) => name)),
    named: count([...s.queue.waiting.keys()].filter((name) => name !== null)),
  }
}

const UNKNOWN = {
  ...{ cpus: Infinity, gpus: Infinity, memoryBytes: Infinity },
  ...{ host: '', address: '', interfaces: {} },
}

/** A node as it would be with its agent there, and in service; an unknown one is like the others. */
export function openPlace(ctx: Ctx, name: string): Place {
  const node = ctx.s.nodes.get(name)
  const known = node === undefined ? null : placeOf(ctx, node)
  if (known !== null) return { ...known, open: true }
  const [like] = ctx.s.places.byName.values()
  const { cpus, gpus, memoryBytes, host, address, interfaces } = like ?? UNKNOWN
  const used = { cpus: 0, gpus: like?.used.gpus ?? 0, memoryBytes: 0 }
  const gpuPeers = new Map([...ctx.s.places.byName.values()].map((peer) => [peer.name, peer.gpus]))
  const of = { name, host, address, interfaces, cpus, gpus, memoryBytes }
  return { ...of, used, workers: 0, open: true, avoid: false, gpuPeers }
}

/** The places with these in their stead, or beside them: a new one gives out the GPUs of the others. */
export function withPlaces(places: Places, added: readonly Place[]): Places {
  const all = new Map([...places.byName, ...added.map((one): [string, Place] => [one.name, one])])
  const fresh = added.filter(({ name, gpus }) => gpus > 0 && !places.byName.has(name))
  const peersOf = ({ name, gpuPeers = new Map() }: Place): ReadonlyMap<string, number> =>
    new Map([
      ...gpuPeers,
      ...fresh.filter((one) => one.name !== name).map(({ name, gpus }): [string, number] => [name, gpus]),
    ])
  return newPlaces([...all.values()].map((one) => ({ ...one, gpuPeers: peersOf(one) })))
}
