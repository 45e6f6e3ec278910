/**
 * The part of a reading that goes on: chunks as they are shipped, until the log is complete. The live subject
 * is subscribed before anything is read, so that nothing falls between. Owns the subscription, what waits of
 * it for a slow reader, and the look for the end.
 */
import { toFault } from '../../protocol/faults.ts'
import type { ForkParts } from '../../protocol/names.ts'
import type { Subscription } from '../../transport/bus.ts'
import { eventSubject } from '../events.ts'
import { asyncQueue } from '../async-queue.ts'
import { hasEnded, whyNot } from '../points.ts'
import type { LogItem } from './items.ts'
import { completeAll, nameSilent } from './past.ts'
import { askStatus, idOf, readerOf, readersOf, type Reading, type Wanted } from './reading.ts'
import { logSubject, readLogMessage, type LogMessage } from './remote-spool.ts'
import { BACKLOG_BYTES } from './fill.ts'
import { findSource, forksOf, hasExited, isAsked, isOver } from './which.ts'

/**
 * Live bytes that wait for a slow reader. Above this many we unsubscribe and read the spools until we have
 * caught up: a reader that lags asks for what it can take, and is never pushed until the server drops its
 * connection.
 */
const LIVE_BYTES_MAX = 8 * 1024 * 1024
/** How often a follower looks for the end when no event says so. */
const LOOK_AGAIN_MS = 2000
/** After the end, a node that does not answer is waited for this long; then what it has is named as a gap. */
const SILENT_END_MS = 10_000

type News = { what: 'log'; message: LogMessage } | { what: 'look' } | { what: 'linked' }

/** What comes by itself while a log is followed. */
export interface Feed {
  readonly news: ReturnType<typeof asyncQueue<News>>
  /** false: unsubscribed, since the reader lags */
  readonly listens: boolean
  listen(): void
  /** the bytes of a chunk were given out */
  taken(bytes: number): void
  close(): void
}

export function openFeed(wanted: Wanted): Feed {
  const { messenger, ref } = wanted
  const { run, role, indices } = ref
  const news = asyncQueue<News>()
  let live: Subscription | null = null
  let waiting = 0
  const deafen = (): void => {
    live?.unsubscribe()
    live = null
  }
  const subject = logSubject(messenger.fleet, {
    run,
    ...(role !== undefined && { role }),
    ...(indices?.length === 1 && { index: indices[0]! }),
  })
  const listen = (): void => {
    live = messenger.bus.subscribe(subject, (message) => {
      const log = readLogMessage(messenger.fleet, message)
      if (live === null || log === null || !isAsked(wanted, log)) return
      if (waiting > LIVE_BYTES_MAX) return deafen()
      waiting += log.bytes.length
      news.push({ what: 'log', message: log })
    })
  }
  listen()
  const events = messenger.bus.subscribe(eventSubject(messenger.fleet, run), () =>
    news.push({ what: 'look' }),
  )
  const offLink = messenger.bus.onLink((up) => void (up && news.push({ what: 'linked' })))
  return {
    news,
    get listens() {
      return live !== null
    },
    listen,
    taken: (bytes) => void (waiting -= bytes),
    close() {
      deafen()
      events.unsubscribe()
      offLink()
    },
  }
}

/** `raw`: wait until there is a source that fits. @returns false when there will be none */
export async function pinSource(reading: Reading, feed: Feed | null): Promise<boolean> {
  const { ref, options } = reading
  for (;;) {
    reading.pinned = await findSource(reading)
    if (reading.pinned !== null) return true
    if (feed === null || hasEnded(reading.status, ref)) return false
    options.onTrouble?.(whyNot(reading.status, 'running'))
    await feed.news.take(options.signal, LOOK_AGAIN_MS)
    if (options.signal?.aborted) return false
    reading.status = await askStatus(reading)
  }
}

/** From where `past` has come to, until the log is complete. */
export async function* follow(reading: Reading, feed: Feed): AsyncGenerator<LogItem> {
  const { signal, onTrouble } = reading.options
  let endedAt: number | null = null
  let lookedAt = -Infinity
  for (let look = true; !signal?.aborted;) {
    if (!feed.listens && feed.news.size === 0) {
      yield* catchUp(reading, feed)
      look ||= performance.now() - lookedAt >= LOOK_AGAIN_MS
      if (!look) continue
    }
    // what was told meanwhile is one look, and chunks that wait are given out first
    if (!look || (feed.news.size > 0 && performance.now() - lookedAt < LOOK_AGAIN_MS)) {
      if (!(yield* takeNews(reading, feed))) look = true
      continue
    }
    look = false
    lookedAt = performance.now()
    await lookAgain(reading)
    const over = isOver(reading)
    const forks = forksOf(reading)
    if (!over && forks.length === 0) onTrouble?.(whyNot(reading.status, 'running'))
    const all = over || reading.isShort
    yield* completeAll(reading, all ? forks : forks.filter((fork) => hasExited(reading.status, fork)))
    if (!over) continue
    if (forks.every((fork) => reading.finished.has(idOf(fork)) || isRead(reading, fork))) break
    endedAt ??= performance.now()
    if (performance.now() - endedAt < SILENT_END_MS) continue
    yield* nameSilent(reading, forks)
    break
  }
  for (const reader of reading.readers.values()) yield* reader.rest()
}

/**
 * Wait for news, and give out the chunk that it is.
 *
 * @returns false for anything else: look at the run again
 */
async function* takeNews(reading: Reading, feed: Feed): AsyncGenerator<LogItem, boolean> {
  const item = await feed.news.take(reading.options.signal, LOOK_AGAIN_MS)
  if (item?.what === 'log') {
    feed.taken(item.message.bytes.length)
    yield* readerOf(reading, item.message.fork, item.message.source).feed(item.message, true)
    return true
  }
  if (item?.what === 'linked') yield* completeAll(reading, forksOf(reading))
  return false
}

/** A coordinator that cannot answer now is told of: the run stays as it was when last looked at. */
async function lookAgain(reading: Reading): Promise<void> {
  try {
    reading.status = await askStatus(reading)
  } catch (error) {
    const fault = toFault(error)
    if (!fault.retryable) throw fault
    reading.options.onTrouble?.(fault.message)
  }
}

/** Read what is there, and listen again when that was little. */
async function* catchUp(reading: Reading, feed: Feed): AsyncGenerator<LogItem> {
  const forks = forksOf(reading)
  const before = position(reading)
  yield* completeAll(reading, forks)
  if (position(reading) - before > BACKLOG_BYTES) return
  feed.listen()
  yield* completeAll(reading, forks)
}

/** Where the readers are, bytes of all sources. */
function position({ readers }: Reading): number {
  return [...readers.values()].reduce((sum, reader) => sum + (reader.next ?? 0), 0)
}

/** Its node is silent, but the relay has it to the end. */
function isRead(reading: Reading, fork: ForkParts): boolean {
  const own = readersOf(reading, fork)
  return own.length > 0 && own.every((reader) => reader.end !== null && (reader.next ?? 0) >= reader.end)
}
