/** One message of a source to the bus, tried until it is acknowledged. */
import { isFault } from '../../protocol/faults.ts'
import type { Bus } from '../../transport/bus.ts'
import type { Pauses } from '../pauses.ts'

interface Sender {
  readonly bus: Bus
  readonly subject: string
  readonly stopped: boolean
  readonly pauses: Pauses
  log(fields: Record<string, unknown>): void
}

const RETRY_MS = [100, 2000] as const
const APPEND_TIMEOUT_MS = 5000

/** @returns false when the source was stopped before the message was acknowledged */
export async function deliver(
  s: Sender,
  body: Uint8Array,
  headers: Record<string, string>,
): Promise<boolean> {
  const { bus, subject, log } = s
  for (let wait: number = RETRY_MS[0]; !s.stopped; wait = Math.min(wait * 2, RETRY_MS[1])) {
    try {
      await bus.append(subject, body, { headers, timeoutMs: APPEND_TIMEOUT_MS })
      return true
    } catch (error) {
      if (!isFault(error, 'CONN') && !isFault(error, 'TIMEOUT'))
        log({ msg: 'the bus does not take a log chunk', subject, error: String(error) })
    }
    await s.pauses.pause(wait)
  }
  return false
}
