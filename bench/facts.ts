/** Events of workers and runs as they arrive at a subscriber, stamped before anything is read of them. */
import { eventSubject } from '../src/client/events.ts'
import type { Bus, Message } from '../src/transport/bus.ts'

export interface Arrived {
  what: string
  run: string
  role: string
  index: number
  /** ms of this process's monotonic clock */
  at: number
  message: Message
}

export interface Facts {
  on(listener: (fact: Arrived) => void): () => void
  /** the `count`-th one that fits */
  await(
    what: string,
    fits: (fact: Arrived) => boolean,
    options?: { count?: number; boundMs?: number },
  ): Promise<Arrived>
}

/** `troupe.v1.FLEET.event.RUN.ROLE.INDEX.WHAT.NODE` */
function read(message: Message): Arrived {
  const at = performance.now()
  const [, , , , run, role, index, what] = message.subject.split('.')
  return { what: what!, run: run!, role: role!, index: Number(index), at, message }
}

const BOUND_MS = 60_000

export function factsOn(bus: Bus, fleet: string): Facts {
  const listeners = new Set<(fact: Arrived) => void>()
  bus.subscribe(eventSubject(fleet), (message) => {
    const fact = read(message)
    for (const listener of listeners) listener(fact)
  })
  const on: Facts['on'] = (listener) => {
    listeners.add(listener)
    return () => listeners.delete(listener)
  }
  return {
    on,
    await: (what, fits, { count = 1, boundMs = BOUND_MS } = {}) =>
      new Promise((resolve, reject) => {
        let left = count
        const off = on((fact) => {
          if (fact.what !== what || !fits(fact) || --left > 0) return
          end()
          resolve(fact)
        })
        const timer = setTimeout(() => {
          end()
          reject(new Error(`${count - left} of ${count} '${what}' within ${boundMs} ms`))
        }, boundMs)
        // the measurement is over, or lost
        const unlink = bus.onLink(() => {
          end()
          reject(new Error(`the link went before '${what}' came`))
        })
        const end = (): void => {
          off()
          unlink()
          clearTimeout(timer)
        }
      }),
  }
}

/** Events of the launch named `name`: a run's id is its name and a hash. */
export function ofLaunch(name: string) {
  const pattern = new RegExp(`^${name}-[^-]+$`)
  return (fact: Arrived): boolean => pattern.test(fact.run)
}
