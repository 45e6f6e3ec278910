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

interface Recent {
  readonly messenger: Messenger
  readonly clock: Pick<Clock, 'now' | 'after'>
  /** Events that were acknowledged, in order. */
  readonly kept: Kept[]
  restoring: Promise<void> | null
  stopped: boolean
  /** The store that took the kept events; null: not known yet. */
  store: string | null
}

export function replayRecent(messenger: Messenger, clock: Pick<Clock, 'now' | 'after'>): RecentReplay {
  const r: Recent = { messenger, clock, kept: [], restoring: null, stopped: false, store: null }
  const unlink = messenger.bus.onLink((up) => {
    if (!up || r.kept.length === 0) return
    const mine = restore(r).finally(() => {
      if (r.restoring === mine) r.restoring = null
    })
    r.restoring = mine
  })
  const emit: Messenger['emit'] = async (name, params, body) => {
    while (r.restoring !== null) await r.restoring
    await messenger.emit(name, params, body)
    r.store ??= await readStore(r).catch(() => null)
    r.kept.push(keptOf(r, name, params, body))
    while (r.kept.length > KEPT_MAX || r.kept[0]!.at < clock.now() - KEPT_MS) r.kept.shift()
  }
  return {
    messenger: Object.assign(Object.create(messenger) as Messenger, { emit }),
    stop() {
      r.stopped = true
      unlink()
    },
  }
}

function keptOf<N extends Emitted>(
  { messenger, clock }: Recent,
  name: N,
  params: ParamsOf<N>,
  body: BodyOf<N>,
): Kept {
  const { bus, fleet } = messenger
  const stream = streamTaking(TABLE[name].kind)
  const isThere = async (): Promise<boolean> => {
    const last = await bus.getLast(streamOf(fleet, stream), subjectOf(fleet, name, params))
    const stored = last === null ? undefined : messenger.read(name, last)?.body
    return stored !== undefined && emitIdOf(stored as never) === emitIdOf(body as never)
  }
  return { at: clock.now(), stream, isThere, again: () => messenger.emit(name, params, body) }
}

/** Append the events that are missing, in order, until that is done or the link breaks again. */
async function restore(r: Recent): Promise<void> {
  while (!r.stopped && r.messenger.bus.connected) {
    try {
      await forgetOtherStore(r)
      for (const stream of ['EVENT', 'ARCHIVE'] as const)
        for (const one of await missingOf(r, stream)) await one.again()
      return
    } catch (error) {
      // a server that has just started has no streams yet
      if (!isFault(error) || !error.retryable) return
    }
    await new Promise<void>((resolve) => r.clock.after(RETRY_MS, resolve))
  }
}

async function readStore({ messenger }: Recent): Promise<string | null> {
  return (await readStateTail(messenger, 'copy'))?.epoch.storeId ?? null
}

/** Drop the events when the store was made anew since. */
async function forgetOtherStore(r: Recent): Promise<void> {
  if (r.store === null) return
  const now = await readStore(r)
  // the leader writes the first entry of a new store; until then the store is not known
  if (now === null) throw new Fault('CONN', 'the state log is empty')
  if (now !== r.store) r.kept.length = 0
  r.store = now
}

/** The server forgets the newest of a stream: an event that is older than a stored one is stored, too. */
async function missingOf({ kept }: Recent, stream: StreamName): Promise<Kept[]> {
  const emitted = kept.filter((one) => one.stream === stream)
  let from = emitted.length
  while (from > 0 && !(await emitted[from - 1]!.isThere())) from--
  return emitted.slice(from)
}
