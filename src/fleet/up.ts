/**
 * Bring a fleet up at home: bus, coordinator and agents, each a process of its own; again, it starts what is
 * missing and ends what is there but dead to the world. Owns the order and the waiting; what a coordinator or
 * agent does is theirs.
 */
import { readFile } from 'node:fs/promises'
import { readNodes } from '../client/pages.ts'
import { Fault, isFault } from '../protocol/faults.ts'
import { messengerOn, type Messenger } from '../transport/messenger.ts'
import { connectNats } from '../transport/nats/bus.ts'
import { atomicWrite } from '../system/atomic-write.ts'
import { saveContext } from '../system/contexts.ts'
import { ensureBus } from './bus.ts'
import { ensureKey, keyFile, readKey } from './keys.ts'
import type { Places } from './places.ts'
import { announcePresence, endProcess, identify, listPresent } from './presence.ts'
import { lastWordsOf, spawnComponent, type SpawnedComponent } from './spawn.ts'
import { hasForks, listNodes } from './sweep.ts'

/** The context that `up` makes. */
const CONTEXT = 'local'

/** What `up` was asked for, kept for the next one and for whoever watches. */
export interface Wanted {
  agents: number
  /** detached: end after so long without runs, ms; null: never */
  idleEndMs: number | null
}

export interface UpOptions {
  places: Places
  user: string
  wanted: Wanted
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
  pids: { bus: number; coordinator: number; agents: Record<string, number> }
}

const READY_MS = 60_000
/** A process that is there but does not serve for so long is ended and started anew. */
const MUTE_MS = 15_000
const LOOK_MS = 25

export function readWanted(places: Places): Promise<Wanted | null> {
  return readFile(places.wanted, 'utf8').then(
    (text) => JSON.parse(text) as Wanted,
    () => null,
  )
}

export function nodeNames(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `n${i}`)
}

/** As many as are wanted, and those whose workers would else be nobody's. */
async function nodesFor({ places, wanted, also }: UpOptions): Promise<string[]> {
  const names = nodeNames(wanted.agents)
  const others = (await listNodes(places)).filter((node) => !names.includes(node))
  const needed = await Promise.all(others.map((node) => hasForks(places, node, also)))
  return [...names, ...others.filter((_, i) => needed[i])]
}

/**
 * The caller has the turn, and has prepared the places.
 *
 * @throws {Fault} SETUP (nothing to run, no place to keep things, a part that ends at once), TIMEOUT,
 * CANCELLED by the signal
 */
export async function bringUp(options: UpOptions): Promise<UpInfo> {
  const { places, user, wanted, env, say } = options
  for (const role of ['client', 'observer', 'coordinator'] as const) await ensureKey(places, { role }, user)
  const nodes = await nodesFor(options)
  for (const node of nodes) await ensureKey(places, { role: 'agent', node }, user)
  const kept = nodes.slice(wanted.agents)
  if (kept.length > 0) say(`also ${kept.join(', ')}: workers were left there`)
  await atomicWrite(places.wanted, JSON.stringify(wanted))

  const bus = await ensureBus(places, user, env, say)
  await saveContext(places.home, {
    name: CONTEXT,
    url: bus.url,
    fleet: places.fleet,
    user,
    credentials: keyFile(places, { role: 'client' }),
  })
  const parts = partsOf(nodes)
  for (const part of parts) await startUnlessThere(part, options)
  const client = await connectNats({
    servers: bus.url,
    credentials: await readKey(places, { role: 'client' }),
    name: 'troupe up',
  })
  try {
    await awaitReady(messengerOn(client, places.fleet), parts, options)
  } finally {
    await client.close()
  }

  const present = await listPresent(places.presence)
  return {
    context: CONTEXT,
    url: bus.url,
    fleet: places.fleet,
    user,
    credentials: {
      client: keyFile(places, { role: 'client' }),
      observer: keyFile(places, { role: 'observer' }),
    },
    pids: {
      bus: bus.pid,
      coordinator: parts[0]!.pid!,
      agents: Object.fromEntries(present.filter((p) => p.kind === 'agent').map((p) => [p.node, p.pid])),
    },
  }
}

/** A coordinator or an agent that is to run. */
interface Part {
  kind: 'coordinator' | 'agent'
  node: string
  label: string
  /** of the process that is there; null: none yet */
  pid: number | null
  spawned: SpawnedComponent | null
  /** since when it could have served, ms of the monotonic clock */
  since: number
}

function partsOf(nodes: readonly string[]): Part[] {
  return [
    { kind: 'coordinator', node: '', label: 'the coordinator', pid: null, spawned: null, since: 0 },
    ...nodes.map((node): Part => ({
      kind: 'agent',
      node,
      label: `the agent ${node}`,
      pid: null,
      spawned: null,
      since: 0,
    })),
  ]
}

async function startUnlessThere(part: Part, { places, wanted, troupe, env }: UpOptions): Promise<void> {
  part.since = performance.now()
  const there = (await listPresent(places.presence)).find((p) => p.kind === part.kind && p.node === part.node)
  part.pid = there?.pid ?? null
  if (there !== undefined) return
  const argv =
    part.kind === 'coordinator'
      ? ['coordinator', ...(wanted.idleEndMs === null ? [] : ['--idle-end', `${wanted.idleEndMs}ms`])]
      : ['agent', '--node', part.node]
  const log = part.kind === 'coordinator' ? places.coordinatorLog : places.node(part.node).log
  part.spawned = spawnComponent(
    [...troupe, ...argv, '--context', CONTEXT],
    { ...env, TROUPE_HOME: places.home, TROUPE_LOCAL: places.local },
    log,
  )
  part.pid = part.spawned.pid
  // it says so itself, but only later: what is interrupted now must find it
  await announcePresence(places.presence, part.kind, part.node, part.pid)
}

/** Until the coordinator answers and has heard each agent: that very process, not one that was before it. */
async function awaitReady(client: Messenger, parts: readonly Part[], options: UpOptions): Promise<void> {
  const { signal, say } = options
  const giveUpAt = performance.now() + READY_MS
  for (;;) {
    if (signal.aborted) throw new Fault('CANCELLED', 'interrupted')
    const missing = await missingOf(client, parts, options.user)
    if (missing.length === 0) return
    // whom a coordinator that is not there cannot have heard is not mute
    if (missing[0]!.kind === 'coordinator')
      for (const part of parts) if (part.kind === 'agent') part.since = performance.now()
    for (const part of missing) {
      const ended = part.spawned?.ended() ?? null
      if (ended !== null)
        throw new Fault(
          'SETUP',
          `${part.label} ended at once (${ended}): ${lastWordsOf(part.spawned!.logFile)}`,
          { hint: `its log: ${part.spawned!.logFile}` },
        )
      const mute = performance.now() - part.since > MUTE_MS && part.spawned === null
      if (!mute) continue
      say(`${part.label} (pid ${part.pid}) does not serve: it is ended and started again`)
      const identity = identify(part.pid!)
      if (identity !== null) await endProcess(identity, 'SIGKILL', 0)
      await startUnlessThere(part, options)
    }
    if (performance.now() > giveUpAt)
      throw new Fault(
        'TIMEOUT',
        `not ready within ${READY_MS / 1000} s: ${missing.map((part) => part.label).join(', ')}`,
        { hint: 'their logs are below TROUPE_LOCAL; troupe down ends what is there' },
      )
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
  }
}

async function missingOf(client: Messenger, parts: readonly Part[], user: string): Promise<Part[]> {
  try {
    const nodes = await readNodes({ messenger: client, user }, { boundMs: 0 })
    return parts.filter(
      (part) =>
        part.kind === 'agent' &&
        !nodes.some(
          (node) =>
            node.node === part.node &&
            node.pid === part.pid &&
            (node.state === 'ready' || node.state === 'draining'),
        ),
    )
  } catch (error) {
    // a coordinator that takes over answers NOT_LEADER or not at all
    if (
      isFault(error, 'CONN') ||
      isFault(error, 'TIMEOUT') ||
      isFault(error, 'NOT_LEADER') ||
      isFault(error, 'OVERLOADED')
    )
      return [...parts]
    throw error
  }
}
