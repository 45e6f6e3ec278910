/**
 * What was told and acknowledged in the last moments is looked for when the link to the bus returns, and told
 * again where it is missing: streams with asynchronous persistence acknowledge before they write, and a
 * server that was killed in between has forgotten the newest. What is there is not told twice, and what
 * belongs to the history of another store is not told to a new one. New events wait until the old ones are
 * there again, so that the order holds. Owns how much is kept; trying until it is acknowledged is the
 * caller's.
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

export interface KeptEmits {
  /** as the messenger's, in all other things that messenger */
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

export function keepEmits(messenger: Messenger, clock: Pick<Clock, 'now' | 'after'>): KeptEmits {
  const { bus, fleet } = messenger
  const kept: Kept[] = []
  let restoring: Promise<void> | null = null
  let stopped = false
  /** the store that took what is kept; null: not known yet */
  let store: string | null = null

  const readStore = async (): Promise<string | null> =>
    (await readStateTail(messenger))?.epoch.storeId ?? null
  /** What was kept for streams that were made anew since is history. */
  const forgetOthers = async (): Promise<void> => {
    if (store === null) return
    const now = await readStore()
    // who leads writes the first entry: then it is known
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

  /** The server forgets the newest of a stream: what is older than one that is there is there too. */
  const missing = async (stream: StreamName): Promise<Kept[]> => {
    const told = kept.filter((one) => one.stream === stream)
    let from = told.length
    while (from > 0 && !(await told[from - 1]!.isThere())) from--
    return told.slice(from)
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
