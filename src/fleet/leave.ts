/**
 * An `up` that joined a fleet, and its end: what it started ends, with the workers there; what it found
 * stays. A part is known by its name: one that was found, died and was started again stays, too.
 */
import { readRuns, readStatus, type Asker } from '../client/pages.ts'
import { byUser } from '../protocol/causes.ts'
import { isFault } from '../protocol/faults.ts'
import { atomicWrite } from '../system/atomic-write.ts'
import { messengerOn } from '../transport/messenger.ts'
import { connectNats } from '../transport/nats/bus.ts'
import { endBus, findBus } from './bus.ts'
import { liveUrl } from './foreign-bus.ts'
import { readKey } from './keys.ts'
import type { FleetLayout } from './layout.ts'
import { endProcess, listPresent } from './presence.ts'
import { sweepNode } from './sweep.ts'
import { readWanted, type Wanted } from './up.ts'

export interface Found {
  /** names: `bus`, `coordinator`, and of agents their nodes */
  parts: ReadonlySet<string>
  wanted: Wanted | null
}

const AGENT_MS = 8000
const COORDINATOR_MS = 5000
/** Workers that do not end for so long are left to the sweep. */
const WORKERS_MS = 20_000
const LOOK_MS = 50

function nameOf({ kind, node }: { kind: string; node: string }): string {
  return kind === 'agent' ? node : kind
}

/** What is there now. The caller holds the up lock. */
export async function findParts(layout: FleetLayout): Promise<Found> {
  const present = (await listPresent(layout.presence)).filter(({ kind }) => kind !== 'up')
  const bus = (await findBus(layout)) === null ? [] : ['bus']
  const core = present.filter(({ kind }) => kind === 'coordinator')
  const agents = present.filter(({ kind }) => kind === 'agent')
  return {
    parts: new Set([...bus, ...[...core, ...agents].map(nameOf)]),
    wanted: await readWanted(layout),
  }
}

/** The names of the parts that are there and were not found. */
export async function startedBeside(layout: FleetLayout, { parts }: Found): Promise<string[]> {
  return [...(await findParts(layout)).parts].filter((name) => !parts.has(name))
}

/** The caller holds the up lock. @returns the names of the parts that ended */
export async function leaveFleet(
  { layout, user, say }: { layout: FleetLayout; user: string; say(line: string): void },
  found: Found,
): Promise<string[]> {
  const ours = await startedBeside(layout, found)
  // whoever watches the fleet must not start again what ends now
  if (found.wanted !== null) await atomicWrite(layout.wanted, JSON.stringify(found.wanted))
  const present = (await listPresent(layout.presence)).filter((part) => ours.includes(nameOf(part)))
  const agents = present.filter(({ kind }) => kind === 'agent')
  const nodes = agents.map(({ node }) => node)
  if (nodes.length > 0) await endWorkersOn(layout, user, nodes, say)
  await Promise.all(agents.map((agent) => endProcess(agent, 'SIGTERM', AGENT_MS)))
  for (const node of nodes) await sweepNode(layout, node, byUser(user), say)
  for (const part of present)
    if (part.kind === 'coordinator') await endProcess(part, 'SIGTERM', COORDINATOR_MS)
  if (ours.includes('bus')) await endBus(layout)
  return ours
}

/** Ask the coordinator to kill the workers on some nodes. One that is missing or mute is no error. */
async function endWorkersOn(
  layout: FleetLayout,
  user: string,
  nodes: readonly string[],
  say: (line: string) => void,
): Promise<void> {
  const [url, key] = [await liveUrl(layout), await readKey(layout, { role: 'client' })]
  if (url === null || key === null) return
  const client = await connectNats({ servers: url, credentials: key, name: 'troupe up' }).catch(() => null)
  if (client === null) return
  try {
    const asker = { messenger: messengerOn(client, layout.fleet), user }
    const told = new Set<string>()
    for (const giveUpAt = performance.now() + WORKERS_MS; performance.now() < giveUpAt;) {
      const workers = await liveWorkersOn(asker, nodes)
      if (workers.length === 0) return
      for (const { run, role, index, worker } of workers) {
        if (told.has(worker)) continue
        told.add(worker)
        say(`killing ${worker}`)
        await asker.messenger.ask('coordinator.kill', { user }, { run, role, index })
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
    }
  } catch (error) {
    if (!isFault(error)) throw error
  } finally {
    await client.close()
  }
}

async function liveWorkersOn(asker: Asker, nodes: readonly string[]) {
  const { runs } = await readRuns(asker, 0)
  const statuses = await Promise.all(
    runs.map(({ run }) => readStatus(asker, { run }).catch(() => ({ run, workers: [] }))),
  )
  return statuses.flatMap(({ run, workers }) =>
    workers
      .filter(({ node, receipt }) => node !== null && nodes.includes(node) && receipt === null)
      .map(({ role, index, worker }) => ({ run, role, index, worker })),
  )
}
