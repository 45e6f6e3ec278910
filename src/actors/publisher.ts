/**
 * Events on their way into their stream: in order, tried again while nobody has acknowledged them. A report, so it is bounded: when the stream is gone for
 * long the oldest are given up.
 */
import type { Publication } from '../core/coordinator/messages.ts'
import { isFault } from '../protocol/faults.ts'
import type { Messenger } from '../transport/messenger.ts'

export interface Publisher {
  publish(event: Publication): void
}

const RETRY_MS = 500
/** events that wait for an acknowledgement; more than that are dropped, and counted in the log */
const WAITING_MAX = 10_000

export const publisherOn = (options: { messenger: Messenger; after(ms: number, fn: () => void): void; log(fields: Record<string, unknown>): void }): Publisher => {
  const { messenger, after, log } = options
  let waiting = 0
  let dropped = 0

  const send = (event: Publication): void =>
    void messenger.emit(event.row, event.params as never, event.body as never).then(
      () => void waiting--,
      (error: unknown) => {
        // what does not fit its row never will
        if (isFault(error) && error.retryable) return after(RETRY_MS, () => send(event))
        waiting--
        log({ level: 'error', msg: 'an event could not be published', id: event.body.id, error: String(error) })
      },
    )

  return {
    publish(event) {
      if (waiting >= WAITING_MAX) {
        if (dropped++ % 1000 === 0) log({ level: 'warn', msg: 'events are given up: their stream does not take them', dropped })
        return
      }
      waiting++
      send(event)
    },
  }
}
