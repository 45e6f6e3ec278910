/**
 * What would help a run that waits: a command that runs as it is printed, and the fact that it rests on. At
 * home (a fleet that `troupe up` started on one machine) more agents are tried out on paper first; of other
 * machines nobody knows what they have. Pure, and reading never writes.
 */
import { type RunStatus, isTerminal } from '../../protocol/shapes.ts'
import { isName } from '../../protocol/names.ts'
import { resourcesOf } from '../../protocol/launch/resolved.ts'
import { homeAgent, isAway, nodesAtHome, openPlace, withPlaces } from './home-fleet.ts'
import { isLeftOut, isMet } from './outcome.ts'
import { allowed, type NamedNode } from './node-words.ts'
import { freeIn, KINDS, lacking, place, type Refused, weightOf, WORDS } from './placement.ts'
import type { Place } from './places.ts'
import { homelessAsks } from './queue.ts'
import { live } from './stages.ts'
import type { Ctx, NodeLive, RoleLive, Run } from './types.ts'

export type Help = NonNullable<RunStatus['help']>

/** Larger fleets are nobody's home, and trying out costs. */
const HOME_NODES_MAX = 64

/** How the agent of a node is started again, or for the first time. */
export function startAgent({ s }: Ctx, name: string): string {
  return s.settings.atHome && homeAgent(name) !== null
    ? up(s.settings.idleEndMs)
    : `troupe agent --node ${name}`
}

/** Beside a detached fleet nobody stays: what `up` starts attached ends with it. */
function up(idleEndMs: number | null, agents?: number): string {
  return `troupe up${agents === undefined ? '' : ` --agents ${agents}`}${idleEndMs === null ? '' : ' --detach'}`
}

/** @returns null when nothing is waited for that anybody could do something about */
export function helpOf(ctx: Ctx, run: Run): Help | null {
  const { record } = run
  if (isTerminal(record.state) || record.stopping !== null) return null
  const lost = run.workers.find(
    (worker) => live(worker) && ctx.s.nodes.get(worker.record.node ?? '')?.state === 'lost',
  )
  if (lost !== undefined) {
    const text = `end it without proof: troupe stop ${record.run} --force`
    return { text, next: startAgent(ctx, lost.record.node!) }
  }
  const refusing = firstRefusing(ctx, run)
  if (refusing !== undefined) return { text: null, next: `troupe nodes adopt ${refusing.name}` }
  if (ctx.s.queue.has(run)) return helpToPlace(ctx, run)
  const held = run.roles.find((role) => unmetOf(role) !== undefined && isWaiting(role))
  return held === undefined
    ? null
    : { text: null, next: `troupe explain ${record.run}/${unmetOf(held)!.role}` }
}

function firstRefusing({ s }: Ctx, run: Run): NodeLive | undefined {
  const own = run.workers.find(
    (worker) => live(worker) && s.nodes.get(worker.record.node ?? '')?.storeRefused,
  )
  if (own !== undefined) return s.nodes.get(own.record.node!)
  return run.record.state === 'pending' ? [...s.refusing][0] : undefined
}

function isWaiting({ workers }: RoleLive): boolean {
  return workers.some((worker) => worker.record.phase === 'waiting' && !isLeftOut(worker))
}

export function unmetOf({ spec, run }: RoleLive): RoleLive['spec']['dependsOn'][number] | undefined {
  return spec.dependsOn.find(({ role: on, condition }) => !isMet(run.byRole.get(on)!, condition))
}

function helpToPlace(ctx: Ctx, run: Run): Help | null {
  const { s } = ctx
  const { asks, taken } = homelessAsks(run)
  const found = place(asks, s.places, taken)
  if (!('reason' in found)) {
    const holder = s.queue.holder?.run
    return holder === undefined || holder === run
      ? null
      : {
          text: `${holder.record.run} was launched before it, and waits for resources`,
          next: `troupe explain ${holder.record.run}`,
        }
  }
  const small = s.nodes.size <= HOME_NODES_MAX
  const fits = (added: readonly Place[]): boolean =>
    !('reason' in place(asks, withPlaces(s.places, added), taken))
  const drained = small ? undrain(ctx, fits) : null
  if (drained !== null) return drained
  const role = found.stuck?.role ?? null
  const unknown = (role?.nodelist ?? []).find(
    (word) => !role!.exclude.includes(word) && !s.nodes.has(word) && s.places.named(word).length === 0,
  )
  const isHome = s.settings.atHome && small
  if (found.holds) return heldBy(ctx, found) ?? { text: null, next: 'troupe nodes' }
  if (isHome) {
    const agents = agentsFor(ctx, asks.length, fits)
    if (agents !== null) return { text: null, next: up(s.settings.idleEndMs, agents) }
  }
  if (unknown !== undefined)
    return isName(unknown)
      ? { text: null, next: startAgent(ctx, unknown) }
      : {
          text: `no node of host ${unknown} has joined: start an agent there`,
          next: 'troupe agent --node NAME',
        }
  return isHome ? tooLarge(ctx, found) : elsewhere(ctx, found)
}

/** One node that was taken out of service, and whose room is enough. */
function undrain(ctx: Ctx, fits: (added: readonly Place[]) => boolean): Help | null {
  for (const name of ctx.s.drains) {
    const node = ctx.s.nodes.get(name)
    if (node === undefined || isAway(node) || !fits([openPlace(ctx, name)])) continue
    return { text: `${name} is drained`, next: `troupe nodes drain ${name} --off` }
  }
  return null
}

/**
 * With how many agents here the run has its places: those that are away come back, new ones have what the
 * machine has. One that is drained stays so, and is counted as none.
 */
function agentsFor(ctx: Ctx, most: number, fits: (added: readonly Place[]) => boolean): number | null {
  const { started, named } = nodesAtHome(ctx)
  const last = Math.min(HOME_NODES_MAX, Math.max(started + most, named))
  for (let agents = Math.max(1, started); agents <= last; agents++) {
    const added = Array.from({ length: agents }, (_, i) => `n${i}`).filter((name) => {
      const node = ctx.s.nodes.get(name)
      return !ctx.s.drains.has(name) && (node === undefined || isAway(node))
    })
    if (added.length > 0 && fits(added.map((name) => openPlace(ctx, name)))) return agents
  }
  return null
}

/** The run that has most of what is missing. */
function heldBy({ s }: Ctx, { stuck }: Refused): Help | null {
  if (stuck === null) return null
  const places = [...s.places.byName.values()].filter((one) => one.open && allowed(stuck.role, one))
  const kind = KINDS.find((one) => places.some((at) => lacking(stuck.resources, freeIn(at), at) === one))
  if (kind === undefined) return null
  const held = new Map<Run, number>()
  for (const { name } of places)
    for (const { role, record, run } of s.nodes.get(name)?.workers ?? [])
      held.set(run, (held.get(run) ?? 0) + weightOf(resourcesOf(role.spec, record.index))[kind])
  const [most] = [...held].filter(([, amount]) => amount > 0).toSorted((a, b) => b[1] - a[1])
  if (most === undefined) return null
  const [{ record }, amount] = most
  return {
    text: `${record.run} of ${record.user} has ${WORDS[kind](amount)}`,
    next: `troupe status ${record.run}`,
  }
}

function tooLarge({ s }: Ctx, { stuck }: Refused): Help {
  const role = stuck?.role
  const named = role !== undefined && role.nodelist.length > 0 ? ' of its nodelist' : ''
  const none = s.places.byName.size === 0
  return {
    text: none
      ? 'no node is known'
      : `more agents on this machine do not help: ask for less than it asks for now, or for other nodes${named}`,
    next: 'troupe nodes',
  }
}

function named({ name, capacity }: NodeLive): NamedNode {
  return { name, host: capacity?.hostname ?? '' }
}

/** What other machines have is not known: a node that is away is named first. */
function elsewhere({ s }: Ctx, { stuck }: Refused): Help {
  const away = [...s.away].find(
    (node) => node.state === 'lost' && (stuck === null || allowed(stuck.role, named(node))),
  )
  if (away !== undefined) return { text: `${away.name} is lost`, next: `troupe agent --node ${away.name}` }
  const more = stuck?.role.kind === 'torchrun' ? stuck.missing : 1
  const kind = KINDS.find((one) => (stuck?.resources[one] ?? 0) > 0)
  const size = stuck === null || kind === undefined ? '' : ` with ${WORDS[kind](stuck.resources[kind])} each`
  return {
    text: `it needs ${more} more ${more === 1 ? 'node' : 'nodes'}${size}: start an agent for each, under a NAME of its own, or ask for less`,
    next: 'troupe agent --node NAME',
  }
}
