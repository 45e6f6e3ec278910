/**
 * Events on their way into their stream: in order, tried again while nobody has acknowledged them. A report,
 * so it is bounded: when the stream is gone for long the oldest are given up.
 */
import type { Publication } from '../../core/coordinator/messages.ts'
import type { Messenger } from '../../transport/messenger.ts'
import { isNeverTaken } from './never-taken.ts'

export interface Publisher {
  publish(event: Publication): void
  /**
   * call back when the event with this id is in its stream (or given up), at once when it is not on its way
   */
  whenTold(id: string, fn: () => void): void
}

const RETRY_MS = 500
/** events that wait for an acknowledgement; more than that are dropped, and counted in the log */
const WAITING_MAX = 10_000

export function publisherOn(options: {
  messenger: Messenger
  after(ms: number, fn: () => void): void
  log(fields: Record<string, unknown>): void
}): Publisher {
  const { messenger, after, log } = options
  let waiting = 0
  let dropped = 0

  /**
   * Events of one run wait for each other: a late `accepted` behind its `ended` would open the run again for
   * its followers.
   */
  const chains = new Map<string, Publication[]>()

  const send = (event: Publication, then: () => void): void =>
    void messenger
      .emit(event.row, event.params as never, event.body as never)
      .then(then, (error: unknown) => {
        if (!isNeverTaken(error)) return after(RETRY_MS, () => send(event, then))
        log({
          level: 'error',
          msg: 'an event could not be published',
          id: event.body.id,
          error: String(error),
        })
        then()
      })

  const listeners = new Map<string, (() => void)[]>()
  const told = (id: string): void => {
    const waitingFor = listeners.get(id)
    listeners.delete(id)
    for (const fn of waitingFor ?? []) fn()
  }

  const next = (run: string, chain: Publication[]): void => {
    const [event] = chain
    if (event === undefined) return void chains.delete(run)
    send(event, () => {
      waiting--
      chain.shift()
      told(event.body.id)
      next(run, chain)
    })
  }

  return {
    whenTold(id, fn) {
      const onItsWay = [...chains.values()].some((chain) => chain.some((event) => event.body.id === id))
      if (!onItsWay) return fn()
      listeners.set(id, [...(listeners.get(id) ?? []), fn])
    },
    publish(event) {
      if (waiting >= WAITING_MAX) {
        if (dropped++ % 1000 === 0)
          log({ level: 'warn', msg: 'events are given up: their stream does not take them', dropped })
        return
      }
      waiting++
      const run = event.row === 'event.run' ? event.body.run : event.body.id
      const chain = chains.get(run)
      if (chain !== undefined) return void chain.push(event)
      const fresh = [event]
      chains.set(run, fresh)
      next(run, fresh)
    },
  }
}
