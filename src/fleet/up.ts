/**
 * Bring a local fleet up: bus, coordinator and agents, each a process of its own. Called again, it starts
 * what is missing, and ends and replaces a component that is there but does not serve.
 */
import { readFile } from 'node:fs/promises'
import { readNodes } from '../client/pages.ts'
import { Fault, isFault } from '../protocol/faults.ts'
import { messengerOn, type Messenger } from '../transport/messenger.ts'
import { connectNats } from '../transport/nats/bus.ts'
import { atomicWrite } from '../system/atomic-write.ts'
import { saveContext } from '../system/contexts.ts'
import { NO_APPEND } from '../actors/coordinator/mute.ts'
import { refuseUnwritable } from './bus-store.ts'
import { ensureTls, wantedAddress, type ListenRequest } from './bus-address.ts'
import { pinAuthority } from './certificates.ts'
import { ensureBus, findBus, refuseListedKeys, restartBus, type BusPlace } from './bus.ts'
import { ensureKey, ensureOperator, keyFile, readKey } from './keys.ts'
import { readForeignBus, reachForeignBus } from './foreign-bus.ts'
import { contextOf } from './home.ts'
import type { FleetLayout } from './layout.ts'
import { announcePresence, endProcess, identify, listPresent } from './presence.ts'
import { lastWordsOf, spawnComponent, type SpawnedComponent } from './spawn.ts'
import { hasForks, listNodes } from './sweep.ts'

/** The options of `up`, kept for the next `up` and for watchers. */
export interface Wanted {
  agents: number
  /** detached: end after so long without runs, ms; null: never */
  idleEndMs: number | null
}

export interface UpOptions {
  layout: FleetLayout
  user: string
  wanted: Wanted
  /** where the bus is to listen */
  listen: ListenRequest
  /**
   * agents beyond the number that is wanted: of nodes with live workers, or also of those that have an end to
   * tell
   */
  also: 'live' | 'untold'
  /** how to run the command line: `[node, /…/dist/troupe.mjs]` */
  troupe: readonly string[]
  env: NodeJS.ProcessEnv
  signal: AbortSignal
  say(line: string): void
}

/** What `up --json` prints. */
export interface UpInfo {
  context: string
  url: string
  fleet: string
  user: string
  credentials: { client: string; observer: string }
  /** bus null: it is somebody else's */
  pids: { bus: number | null; coordinator: number; agents: Record<string, number> }
}

const READY_MS = 60_000
/** A process that is there but does not serve for so long is ended and started anew. */
const MUTE_MS = 15_000
const LOOK_MS = 25

export function readWanted(layout: FleetLayout): Promise<Wanted | null> {
  return readFile(layout.wanted, 'utf8').then(
    (text) => JSON.parse(text) as Wanted,
    () => null,
  )
}

export function nodeNames(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `n${i}`)
}

/** Where our own server is to be, with the keys and certificates for it. */
async function ownPlace({ layout, listen, env }: UpOptions): Promise<BusPlace> {
  await refuseListedKeys(layout)
  const isUp = await hasParts(layout)
  const address = await wantedAddress(layout, listen, env, isUp)
  await ensureOperator(layout)
  return { address, certificateIsNew: await ensureTls(layout, address, isUp) }
}

/** Does any part of this fleet run that knows the bus's address? */
async function hasParts(layout: FleetLayout): Promise<boolean> {
  const present = await listPresent(layout.presence)
  return (await findBus(layout)) !== null || present.some(({ kind }) => kind !== 'up')
}

/** As many as are wanted, and those whose workers would else be nobody's. */
async function nodesFor({ layout, wanted, also }: UpOptions): Promise<string[]> {
  const names = nodeNames(wanted.agents)
  const others = (await listNodes(layout)).filter((node) => !names.includes(node))
  const needed = await Promise.all(others.map((node) => hasForks(layout, node, also)))
  return [...names, ...others.filter((_, i) => needed[i])]
}

/**
 * The caller holds the up lock, and has prepared the layout.
 *
 * @throws {Fault} SETUP (nothing to run, no place to keep things, a component that ends at once), TIMEOUT,
 * CANCELLED by the signal
 */
export async function bringUp(options: UpOptions): Promise<UpInfo> {
  const { layout, user, wanted, env, say } = options
  const context = contextOf(layout)
  const foreign = await readForeignBus(layout)
  const place = foreign === null ? await ownPlace(options) : null
  if (foreign !== null) await pinAuthority(layout, foreign.ca ?? null)
  for (const role of ['client', 'observer', 'coordinator'] as const) await ensureKey(layout, { role }, user)
  const nodes = await nodesFor(options)
  for (const node of nodes) await ensureKey(layout, { role: 'agent', node }, user)
  const kept = nodes.slice(wanted.agents)
  if (kept.length > 0) say(`also ${kept.join(', ')}: workers were left there`)
  await atomicWrite(layout.wanted, JSON.stringify(wanted))

  const bus =
    place === null ? await reachForeignBus(layout, foreign!) : await ensureBus(layout, env, say, place)
  await saveContext(layout.home, {
    name: context,
    url: bus.url,
    fleet: layout.fleet,
    user,
    credentials: keyFile(layout, { role: 'client' }),
  })
  const components = componentsOf(nodes)
  for (const component of components) await startUnlessThere(component, options)
  const client = await connectNats({
    servers: bus.url,
    credentials: await readKey(layout, { role: 'client' }),
    name: 'troupe up',
  })
  try {
    await awaitReady(messengerOn(client, layout.fleet), components, options)
  } finally {
    await client.close()
  }

  const present = await listPresent(layout.presence)
  return {
    context,
    url: bus.url,
    fleet: layout.fleet,
    user,
    credentials: {
      client: keyFile(layout, { role: 'client' }),
      observer: keyFile(layout, { role: 'observer' }),
    },
    pids: {
      bus: (await findBus(layout))?.pid ?? bus.pid,
      coordinator: components[0]!.pid!,
      agents: Object.fromEntries(present.filter((p) => p.kind === 'agent').map((p) => [p.node, p.pid])),
    },
  }
}

/** A coordinator or an agent that is to run. */
interface Component {
  kind: 'coordinator' | 'agent'
  node: string
  label: string
  /** of the process that is there; null: none yet */
  pid: number | null
  spawned: SpawnedComponent | null
  /** since when it could have served, ms of the monotonic clock */
  since: number
}

function componentsOf(nodes: readonly string[]): Component[] {
  return [
    { kind: 'coordinator', node: '', label: 'the coordinator', pid: null, spawned: null, since: 0 },
    ...nodes.map((node): Component => ({
      kind: 'agent',
      node,
      label: `the agent ${node}`,
      pid: null,
      spawned: null,
      since: 0,
    })),
  ]
}

async function startUnlessThere(
  component: Component,
  { layout, wanted, troupe, env }: UpOptions,
): Promise<void> {
  component.since = performance.now()
  const there = (await listPresent(layout.presence)).find(
    (p) => p.kind === component.kind && p.node === component.node,
  )
  component.pid = there?.pid ?? null
  if (there !== undefined) return
  const argv =
    component.kind === 'coordinator'
      ? ['coordinator', ...(wanted.idleEndMs === null ? [] : ['--idle-end', `${wanted.idleEndMs}ms`])]
      : ['agent', '--node', component.node]
  const log = component.kind === 'coordinator' ? layout.coordinatorLog : layout.node(component.node).log
  component.spawned = spawnComponent(
    [...troupe, ...argv, '--context', contextOf(layout)],
    { ...env, TROUPE_HOME: layout.home, TROUPE_LOCAL: layout.local },
    log,
  )
  component.pid = component.spawned.pid
  // it says so itself, but only later: what is interrupted now must find it
  await announcePresence(layout.presence, component.kind, component.node, component.pid)
}

/** Until the coordinator answers and has heard each agent: that very process, not one that was before it. */
async function awaitReady(
  client: Messenger,
  components: readonly Component[],
  options: UpOptions,
): Promise<void> {
  const { signal, say } = options
  const giveUpAt = performance.now() + READY_MS
  let restarted = false
  for (;;) {
    if (signal.aborted) throw new Fault('CANCELLED', 'interrupted')
    const { missing, why } = await missingOf(client, components, options.user)
    if (missing.length === 0) return
    // its coordinator would do it, but we hold the lock
    if (why?.data['reason'] === NO_APPEND && !restarted) {
      await refuseUnwritable(options.layout)
      await restartBus(options.layout, options.env, say, 'says its coordinator')
      restarted = true
    }
    // whom a coordinator that is not there cannot have heard is not mute
    if (missing[0]!.kind === 'coordinator')
      for (const component of components) if (component.kind === 'agent') component.since = performance.now()
    for (const component of missing) {
      const ended = component.spawned?.ended() ?? null
      if (ended !== null)
        throw new Fault(
          'SETUP',
          `${component.label} ended at once (${ended}): ${lastWordsOf(component.spawned!.logFile)}`,
          { hint: `its log: ${component.spawned!.logFile}` },
        )
      const mute = performance.now() - component.since > MUTE_MS && component.spawned === null
      if (!mute) continue
      say(`${component.label} (pid ${component.pid}) does not serve: it is ended and started again`)
      const identity = identify(component.pid!)
      if (identity !== null) await endProcess(identity, 'SIGKILL', 0)
      await startUnlessThere(component, options)
    }
    if (performance.now() > giveUpAt)
      throw new Fault(
        'TIMEOUT',
        `not ready within ${READY_MS / 1000} s: ${missing.map((component) => component.label).join(', ')}` +
          (why === null ? '' : ` (${why.message})`),
        { hint: 'their logs are below TROUPE_LOCAL; end what is there: troupe down' },
      )
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
  }
}

async function missingOf(
  client: Messenger,
  components: readonly Component[],
  user: string,
): Promise<{ missing: Component[]; why: Fault | null }> {
  try {
    const nodes = await readNodes({ messenger: client, user }, { boundMs: 0 })
    const serves = (component: Component): boolean =>
      nodes.some(
        ({ node, pid, state }) =>
          node === component.node && pid === component.pid && (state === 'ready' || state === 'draining'),
      )
    return {
      missing: components.filter((component) => component.kind === 'agent' && !serves(component)),
      why: null,
    }
  } catch (error) {
    // a coordinator that takes over answers NOT_LEADER or not at all
    if (
      isFault(error, 'CONN') ||
      isFault(error, 'TIMEOUT') ||
      isFault(error, 'NOT_LEADER') ||
      isFault(error, 'OVERLOADED')
    )
      return { missing: [...components], why: error as Fault }
    throw error
  }
}
