/**
 * Ask the coordinator to kill every run, and wait for the receipts. The workers of a node whose agent is dead
 * are left to sweep.ts. A coordinator that is missing or mute is an answer, not an error.
 */
import { isFault } from '../protocol/faults.ts'
import { readRuns, readStatus } from '../client/pages.ts'
import { isTerminal, type RunStatus, type WorkerReceipt } from '../protocol/shapes.ts'
import type { Messenger } from '../transport/messenger.ts'

/** A run whose workers do not end for so long is left to the sweep. */
const END_MS = 20_000
const LOOK_MS = 50
/** Nobody waits for a coordinator that is to end. */
const AT_ONCE = { boundMs: 0 }

/**
 * @param alive  is there an agent for this node? Without one nothing on it will report
 * @returns null when no coordinator answers
 */
export async function endRuns(
  client: Messenger,
  user: string,
  alive: (node: string) => boolean,
  say: (line: string) => void,
): Promise<WorkerReceipt[] | null> {
  const asker = { messenger: client, user }
  const receipts = new Map<string, WorkerReceipt>()
  const asked = new Set<string>()
  const giveUpAt = performance.now() + END_MS
  try {
    for (;;) {
      const { runs } = await readRuns(asker, 0, AT_ONCE)
      const open = runs.filter((run) => !isTerminal(run.state)).map((run) => run.run)
      for (const run of open) {
        if (asked.has(run)) continue
        say(`killing ${run}`)
        await client.ask('coordinator.kill', { user }, { run }).catch(unlessEnded)
        asked.add(run)
      }
      const statuses = (
        await Promise.all([...asked].map((run) => readStatus(asker, { run }, AT_ONCE).catch(unlessEnded)))
      ).filter((status) => status !== null)
      for (const status of statuses)
        for (const receipt of receiptsOf(status)) receipts.set(receipt.forkId, receipt)
      const waiting = statuses.filter(
        (status) =>
          !isTerminal(status.state) &&
          status.workers.some(
            (worker) =>
              worker.state !== 'pending' &&
              worker.receipt === null &&
              worker.node !== null &&
              alive(worker.node),
          ),
      )
      if (open.every((run) => asked.has(run)) && waiting.length === 0) return [...receipts.values()]
      if (performance.now() > giveUpAt) return [...receipts.values()]
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
    }
  } catch (error) {
    if (
      isFault(error, 'CONN') ||
      isFault(error, 'TIMEOUT') ||
      isFault(error, 'NOT_LEADER') ||
      isFault(error, 'OVERLOADED')
    )
      return receipts.size > 0 ? [...receipts.values()] : null
    throw error
  }
}

/** It may end, and be archived, between two questions. */
function unlessEnded(error: unknown): null {
  if (isFault(error, 'WORKER_NOT_FOUND')) return null
  throw error
}

function receiptsOf(status: RunStatus): WorkerReceipt[] {
  return status.workers.flatMap(({ worker, forkId, receipt }) =>
    receipt === null ? [] : [{ worker, forkId, ...receipt }],
  )
}
