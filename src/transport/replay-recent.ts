/**
 * Publishes events again that a server acknowledged and then forgot. Streams with asynchronous persistence
 * acknowledge before they write. When the link returns, the newest of the recent events are looked up in
 * their streams. What is missing is appended again, before anything new, so that the order holds. Events that
 * an earlier store took are history: a new store does not get them.
 *
 * Owns how much is kept. The caller tries until an event is acknowledged.
 */
import { Fault, isFault } from '../protocol/faults.ts'
import { subjectOf } from '../protocol/subjects.ts'
import {
  streamOf,
  streamTaking,
  TABLE,
  type BodyOf,
  type ParamsOf,
  type RowsOf,
  type StreamName,
} from '../protocol/table.ts'
import type { Clock } from '../system/clock.ts'
import { emitIdOf, type Messenger } from './messenger.ts'
import { readStateTail } from './state-tail.ts'

/**
 * The server writes within milliseconds. Counted back from the newest acknowledgement: while none comes
 * nothing grows old.
 */
const KEPT_MS = 2000
const KEPT_MAX = 2000
const RETRY_MS = 200

export interface RecentReplay {
  /** the given messenger, with an `emit` whose recent events are replayed */
  messenger: Messenger
  stop(): void
}

type Emitted = RowsOf<'event' | 'archive'>
interface Kept {
  at: number
  stream: StreamName
  isThere(): Promise<boolean>
  again(): Promise<void>
}

export function replayRecent(messenger: Messenger, clock: Pick<Clock, 'now' | 'after'>): RecentReplay {
  const { bus, fleet } = messenger
  const kept: Kept[] = []
  let restoring: Promise<void> | null = null
  let stopped = false
  /** the store that took what is kept; null: not known yet */
  let store: string | null = null

  const readStore = async (): Promise<string | null> =>
    (await readStateTail(messenger))?.epoch.storeId ?? null
  /** Drop events of a store that was made anew since. */
  const forgetOthers = async (): Promise<void> => {
    if (store === null) return
    const now = await readStore()
    // the leader writes the first entry of a new store; until then the store is not known
    if (now === null) throw new Fault('CONN', 'the state log is empty')
    if (now !== store) kept.length = 0
    store = now
  }

  const keptOf = <N extends Emitted>(name: N, params: ParamsOf<N>, body: BodyOf<N>): Kept => {
    const stream = streamTaking(TABLE[name].kind)
    const isThere = async (): Promise<boolean> => {
      const last = await bus.getLast(streamOf(fleet, stream), subjectOf(fleet, name, params))
      const stored = last === null ? undefined : messenger.read(name, last)?.body
      return stored !== undefined && emitIdOf(stored as never) === emitIdOf(body as never)
    }
    return { at: clock.now(), stream, isThere, again: () => messenger.emit(name, params, body) }
  }

  /** The server forgets the newest of a stream: an event that is older than a stored one is stored, too. */
  const missing = async (stream: StreamName): Promise<Kept[]> => {
    const emitted = kept.filter((one) => one.stream === stream)
    let from = emitted.length
    while (from > 0 && !(await emitted[from - 1]!.isThere())) from--
    return emitted.slice(from)
  }
  const restore = async (): Promise<void> => {
    while (!stopped && bus.connected) {
      try {
        await forgetOthers()
        for (const stream of ['EVENT', 'ARCHIVE'] as const)
          for (const one of await missing(stream)) await one.again()
        return
      } catch (error) {
        // a server that has just started has no streams yet
        if (!isFault(error) || !error.retryable) return
      }
      await new Promise<void>((resolve) => clock.after(RETRY_MS, resolve))
    }
  }
  const unlink = bus.onLink((up) => {
    if (!up || kept.length === 0) return
    const mine = restore().finally(() => {
      if (restoring === mine) restoring = null
    })
    restoring = mine
  })

  const emit: Messenger['emit'] = async (name, params, body) => {
    while (restoring !== null) await restoring
    await messenger.emit(name, params, body)
    store ??= await readStore().catch(() => null)
    kept.push(keptOf(name, params, body))
    while (kept.length > KEPT_MAX || kept[0]!.at < clock.now() - KEPT_MS) kept.shift()
  }

  return {
    messenger: Object.assign(Object.create(messenger) as Messenger, { emit }),
    stop() {
      stopped = true
      unlink()
    },
  }
}
