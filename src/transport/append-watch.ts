/**
 * Does the state log take entries? A state log like the one that it wraps, which counts what is refused while
 * the link is up: a server whose store is in error goes on answering, and acknowledges nothing. Owns the
 * verdict; fleet/bus-keeper.ts acts on it.
 */
import { isFault, type FaultCode } from '../protocol/faults.ts'
import type { Clock } from '../system/clock.ts'
import type { Bus } from './bus.ts'
import type { StateLog } from './state-log.ts'

export interface AppendWatch {
  /** hand this one to the leader */
  stateLog: StateLog
  /** the log took nothing so often, and for so long, that nothing but its server can be wrong */
  readonly mute: boolean
}

/** So many tries, and so long since the first: a server that has just been started needs a moment. */
const TRIES = 3
const MUTE_MS = 3000
/** A read may also fail because of an entry that it finds, and then the server is not to blame. */
const OF_A_READ: readonly FaultCode[] = ['CONN', 'TIMEOUT']
const OF_A_WRITE: readonly FaultCode[] = [...OF_A_READ, 'FAILED']

/** @param onChange  told when the log falls mute, and when it takes an entry again */
export function watchAppends(
  inner: StateLog,
  { bus, clock, onChange }: { bus: Bus; clock: Clock; onChange(mute: boolean): void },
): AppendWatch {
  let refused = 0
  let since = 0
  let mute = false
  const set = (now: boolean): void => {
    if (!now) refused = 0
    if (mute === now) return
    mute = now
    onChange(now)
  }
  const offLink = bus.onLink(() => void (refused = 0))

  const watched = async <T>(work: () => Promise<T>, blamed: readonly FaultCode[]): Promise<T> => {
    try {
      return await work()
    } catch (error) {
      if (!bus.connected || !blamed.some((code) => isFault(error, code))) throw error
      if (refused++ === 0) since = clock.now()
      if (refused >= TRIES && clock.now() - since >= MUTE_MS) set(true)
      throw error
    }
  }
  return {
    get mute() {
      return mute
    },
    stateLog: {
      ...inner,
      open: () => watched(() => inner.open(), OF_A_WRITE),
      read: () => watched(() => inner.read(), OF_A_READ),
      async append(entry) {
        await watched(() => inner.append(entry), OF_A_WRITE)
        set(false)
      },
      async close() {
        offLink()
        await inner.close()
      },
    },
  }
}
