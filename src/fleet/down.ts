/**
 * Take a local fleet down in this order: runs, agents, left workers, coordinator, bus. A step begins only
 * after the one before is proven. Agents and coordinators that were started by hand belong to the fleet,
 * too. A component that is dead already is no failure.
 */
import { rm } from 'node:fs/promises'
import { readNodes, type Asker } from '../client/pages.ts'
import { byUser } from '../protocol/causes.ts'
import { Fault, isFault } from '../protocol/faults.ts'
import type { WorkerReceipt } from '../protocol/shapes.ts'
import { messengerOn } from '../transport/messenger.ts'
import { connectNats } from '../transport/nats/bus.ts'
import { endBus } from './bus.ts'
import { endRuns } from './end-runs.ts'
import { liveUrl } from './foreign-bus.ts'
import { readKey } from './keys.ts'
import type { FleetLayout } from './layout.ts'
import { endProcess, listPresent, type Present } from './presence.ts'
import { listNodes, sweepNode } from './sweep.ts'

export interface DownOptions {
  layout: FleetLayout
  user: string
  /** leave the workers: the next `up` finds them */
  keepWorkers: boolean
  say(line: string): void
}

export interface DownResult {
  /** The ended parts, for people: `coordinator (pid 12)`; empty when nothing was up. */
  ended: string[]
  receipts: WorkerReceipt[]
}

/** An agent stops within a second; one that hangs is killed, and the sweep ends its workers. */
const AGENT_MS = 8000
const COORDINATOR_MS = 5000
const WATCHER_MS = 3000

/**
 * The caller holds the up lock.
 *
 * @throws {Fault} FAILED when something does not end; SPOOL, when all else has ended, for a spool of another
 * version
 */
export async function takeDown({ layout, user, keepWorkers, say }: DownOptions): Promise<DownResult> {
  const ended: string[] = []
  const receipts = new Map<string, WorkerReceipt>()
  // tells a watching `up` not to start again what ends now
  await rm(layout.wanted, { force: true })

  if (!keepWorkers)
    for (const receipt of (await killRuns(layout, user, say)) ?? []) receipts.set(receipt.forkId, receipt)
  const ends = async (kind: Present['kind'], termMs: number): Promise<void> => {
    const components = (await listPresent(layout.presence)).filter(
      (component) => component.kind === kind && component.pid !== process.pid,
    )
    await Promise.all(
      components.map(async (component) => {
        if (!(await endProcess(component, 'SIGTERM', termMs)))
          throw new Fault('FAILED', `${labelOf(component)} does not end`)
        ended.push(labelOf(component))
      }),
    )
  }
  await ends('agent', AGENT_MS)
  const closed: Fault[] = []
  if (!keepWorkers)
    for (const node of await listNodes(layout))
      try {
        for (const receipt of await sweepNode(layout, node, byUser(user), say))
          receipts.set(receipt.forkId, receipt)
      } catch (error) {
        // a spool that this version cannot read keeps its workers, and nothing else
        if (!isFault(error, 'SPOOL')) throw error
        closed.push(error)
      }
  await ends('coordinator', COORDINATOR_MS)
  const bus = await endBus(layout)
  if (bus !== null) ended.push(`bus (pid ${bus})`)
  await watchersLeft(layout)
  if (closed.length > 0) throw closed[0]!
  return { ended, receipts: [...receipts.values()] }
}

/** An `up` that watches sees by itself that it has nothing to watch any more. */
async function watchersLeft(layout: FleetLayout): Promise<void> {
  for (
    const until = performance.now() + WATCHER_MS;
    performance.now() < until;
    await new Promise((resolve) => setTimeout(resolve, 50))
  )
    if (
      !(await listPresent(layout.presence)).some(
        (component) => component.kind === 'up' && component.pid !== process.pid,
      )
    )
      return
}

function labelOf({ kind, node, pid }: Present): string {
  return `${kind}${node === '' ? '' : ` ${node}`} (pid ${pid})`
}

/** @returns null when there is nobody to ask */
async function killRuns(
  layout: FleetLayout,
  user: string,
  say: (line: string) => void,
): Promise<WorkerReceipt[] | null> {
  const [url, key] = [await liveUrl(layout), await readKey(layout, { role: 'client' })]
  const present = await listPresent(layout.presence)
  if (url === null || key === null || !present.some((component) => component.kind === 'coordinator'))
    return null
  const client = await connectNats({ servers: url, credentials: key, name: 'troupe down' }).catch(() => null)
  if (client === null) return null
  try {
    const messenger = messengerOn(client, layout.fleet)
    const here = present.filter(({ kind }) => kind === 'agent').map(({ node }) => node)
    const elsewhere = await nodesElsewhere({ messenger, user }, await listNodes(layout))
    return await endRuns(messenger, user, (node) => here.includes(node) || elsewhere.includes(node), say)
  } finally {
    await client.close()
  }
}

/** Nodes of other machines that serve: their agents end workers as those here do, and stay. */
async function nodesElsewhere(asker: Asker, ours: readonly string[]): Promise<string[]> {
  const nodes = await readNodes(asker, { boundMs: 0 }).catch((error: unknown) => {
    if (isFault(error)) return []
    throw error
  })
  return nodes
    .filter(({ node, state }) => !ours.includes(node) && (state === 'ready' || state === 'draining'))
    .map(({ node }) => node)
}
