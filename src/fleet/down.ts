/**
 * Take a fleet at home down: runs, agents, what they left, coordinator, bus; each only after the one before
 * is gone. Agents and coordinators that were started by hand belong to it too. Owns the order and the proof;
 * nothing of it fails because a part is dead already.
 */
import { rm } from 'node:fs/promises'
import { byUser } from '../protocol/causes.ts'
import { Fault } from '../protocol/faults.ts'
import type { WorkerReceipt } from '../protocol/shapes.ts'
import { messengerOn } from '../transport/messenger.ts'
import { connectNats } from '../transport/nats/bus.ts'
import { endBus, findBus, readAddress, urlOf } from './bus.ts'
import { endRuns } from './end-runs.ts'
import { readKey } from './keys.ts'
import type { Places } from './places.ts'
import { endProcess, listPresent, type Present } from './presence.ts'
import { listNodes, sweepNode } from './sweep.ts'

export interface DownOptions {
  places: Places
  user: string
  /** leave the workers: the next `up` finds them */
  keepWorkers: boolean
  say(line: string): void
}

export interface DownResult {
  /** what was ended, for people: `coordinator (pid 12)`; empty when nothing was up */
  ended: string[]
  receipts: WorkerReceipt[]
}

/** An agent stops within a second; what hangs longer is killed, its workers are the sweep's. */
const AGENT_MS = 8000
const COORDINATOR_MS = 5000
const WATCHER_MS = 3000

/**
 * The caller has the turn.
 *
 * @throws {Fault} FAILED when something does not end
 */
export async function takeDown({ places, user, keepWorkers, say }: DownOptions): Promise<DownResult> {
  const ended: string[] = []
  const receipts = new Map<string, WorkerReceipt>()
  // tells a watching `up` not to start again what ends now
  await rm(places.wanted, { force: true })

  if (!keepWorkers)
    for (const receipt of (await killRuns(places, user, say)) ?? []) receipts.set(receipt.forkId, receipt)
  const ends = async (kind: Present['kind'], termMs: number): Promise<void> => {
    const parts = (await listPresent(places.presence)).filter(
      (part) => part.kind === kind && part.pid !== process.pid,
    )
    await Promise.all(
      parts.map(async (part) => {
        if (!(await endProcess(part, 'SIGTERM', termMs)))
          throw new Fault('FAILED', `${labelOf(part)} does not end`)
        ended.push(labelOf(part))
      }),
    )
  }
  await ends('agent', AGENT_MS)
  if (!keepWorkers)
    for (const node of await listNodes(places))
      for (const receipt of await sweepNode(places, node, byUser(user), say))
        receipts.set(receipt.forkId, receipt)
  await ends('coordinator', COORDINATOR_MS)
  const bus = await endBus(places)
  if (bus !== null) ended.push(`bus (pid ${bus})`)
  await watchersLeft(places)
  return { ended, receipts: [...receipts.values()] }
}

/** An `up` that watches sees by itself that it has nothing to watch any more. */
async function watchersLeft(places: Places): Promise<void> {
  for (
    const until = performance.now() + WATCHER_MS;
    performance.now() < until;
    await new Promise((resolve) => setTimeout(resolve, 50))
  )
    if (!(await listPresent(places.presence)).some((part) => part.kind === 'up' && part.pid !== process.pid))
      return
}

function labelOf({ kind, node, pid }: Present): string {
  return `${kind}${node === '' ? '' : ` ${node}`} (pid ${pid})`
}

/** @returns null when there is nobody to ask */
async function killRuns(
  places: Places,
  user: string,
  say: (line: string) => void,
): Promise<WorkerReceipt[] | null> {
  const [bus, address, key] = [
    await findBus(places),
    await readAddress(places),
    await readKey(places, { role: 'client' }),
  ]
  const present = await listPresent(places.presence)
  if (
    bus === null ||
    address === null ||
    key === null ||
    !present.some((part) => part.kind === 'coordinator')
  )
    return null
  const client = await connectNats({ servers: urlOf(address), credentials: key, name: 'troupe down' }).catch(
    () => null,
  )
  if (client === null) return null
  try {
    return await endRuns(
      messengerOn(client, places.fleet),
      user,
      (node) => present.some((part) => part.kind === 'agent' && part.node === node),
      say,
    )
  } finally {
    await client.close()
  }
}
