/**
 * What is said of the ends of workers: whether those that were told to stop said that they saved, and what a
 * root that ended by itself left running. Pure: lines from a status.
 */
import { leftBehindText, savedText } from '../../protocol/exit-words.ts'
import type { RunStatus, WorkerStatus } from '../../protocol/shapes.ts'

/** Of more the number is said. */
const SAID_MAX = 20

function savedOf(status: RunStatus, { role, save, saved }: WorkerStatus): string | null {
  return savedText(save, saved, status.roles.find((one) => one.role === role)?.savedLog)
}

/** Those that did not come first. */
export function savedLines(status: RunStatus, workers = status.workers): string[] {
  const asked = workers.filter(({ save }) => save !== undefined)
  const order = asked.toSorted((a, b) => Number(a.save === 'yes') - Number(b.save === 'yes'))
  const lines = order.slice(0, SAID_MAX).map((worker) => `${worker.worker} ${savedOf(status, worker)}`)
  const yes = asked.filter(({ save }) => save === 'yes').length
  return asked.length > SAID_MAX ? [...lines, `… of ${asked.length} workers ${yes} saved`] : lines
}

/** A single worker needs no name. */
export function leftLines({ workers }: RunStatus): string[] {
  const lines = workers.flatMap(({ worker, receipt }) => {
    const text = leftBehindText(receipt)
    return text === null ? [] : [workers.length === 1 ? text : `${worker}: ${text}`]
  })
  const more = lines.length - SAID_MAX
  return more > 0 ? [...lines.slice(0, SAID_MAX), `… and of ${more} more workers`] : lines
}
