/** How many workers one order is about: so many that the order and its answer fit one message. */
import type { OrderVerb } from '../../protocol/table.ts'
import { forkSpecOf } from './fork-spec.ts'
import type { Worker } from './types.ts'

/** An answer has a report of each, and at most all last words of a node. */
const WORKERS_MAX = 500
const BYTES_MAX = 1024 * 1024

/** @param workers  of one role: their parts of the order are alike */
export function inParts(verb: OrderVerb, workers: readonly Worker[]): Worker[][] {
  const [first] = workers
  if (first === undefined) return []
  const part =
    verb === 'prepare' ? forkSpecOf(first) : verb === 'start' ? first.gang!.bindings!.value : first.id
  const count = Math.max(1, Math.min(WORKERS_MAX, Math.floor(BYTES_MAX / JSON.stringify(part).length)))
  return Array.from({ length: Math.ceil(workers.length / count) }, (_, i) =>
    workers.slice(i * count, (i + 1) * count),
  )
}
