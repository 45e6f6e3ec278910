/** Which of the workers that were told to stop said that they saved. Pure: lines from a status. */
import { savedText } from '../../protocol/exit-words.ts'
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
