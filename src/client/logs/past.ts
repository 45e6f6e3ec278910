/**
 * The finite part of a reading: what is there now. Of several sources the relay has it in the order of time,
 * and the spools complete it; of one source a long past comes from the relay as far as that has it, the rest
 * and a tail from the spool.
 */
import { toFault } from '../../protocol/faults.ts'
import type { ForkParts } from '../../protocol/names.ts'
import { bySource, type LogItem } from './items.ts'
import { idOf, readerOf, readersOf, type Reading } from './reading.ts'
import { logSubject, relayed, relaySeqSince } from './remote-spool.ts'
import { BACKLOG_BYTES } from './fill.ts'
import { hasExited, isAsked, wants } from './which.ts'

export async function* past(reading: Reading, forks: ForkParts[]): AsyncGenerator<LogItem> {
  const { options, pinned, follow } = reading
  // of one source the spool alone is enough, but when something was written only the relay knows
  if ((pinned === null || options.since !== undefined) && options.tail === undefined)
    yield* replay(reading, forks)
  for (const fork of forks) {
    if (options.tail !== undefined) yield* tail(reading, fork, options.tail)
    else if (!(yield* complete(reading, fork))) yield* pinned === null ? [] : replay(reading, [fork])
    // a line without its end may still be written on
    if (!follow) for (const reader of readersOf(reading, fork)) yield* reader.rest()
  }
  if (!follow) yield* nameSilent(reading, forks)
  reading.fromStart = true
}

/** What the relay has, in the order of time. Without it the spools are read one by one. */
async function* replay(reading: Reading, forks: ForkParts[]): AsyncGenerator<LogItem> {
  const { messenger, ref, options } = reading
  const ids = new Set(forks.map(idOf))
  if (ids.size === 0) return
  try {
    let seq = 1
    if (options.since !== undefined) {
      const found = await relaySeqSince(messenger, options.since)
      seq = found.seq
      reading.fromStart = !found.complete
    }
    const subject = logSubject(messenger.fleet, forks.length === 1 ? forks[0]! : { run: ref.run })
    for await (const message of relayed(messenger, subject, seq)) {
      if (!ids.has(message.forkId) || !isAsked(reading, message)) continue
      const reader = readerOf(reading, message.fork, message.source)
      yield* reader.feed(message, false)
      if (message.record?.kind === 'final') reader.end = message.record.bytes
    }
  } catch (error) {
    if (!toFault(error).retryable) throw error
  }
}

/** Read a fork to where its node says that it ends now. @returns false when the node does not answer */
async function* complete(reading: Reading, fork: ForkParts): AsyncGenerator<LogItem, boolean> {
  const sizes = await reading.spool.sizes(fork)
  if (sizes === null) return false
  for (const [source, { size, generation, shipped = size, lost = [] }] of inOrder(sizes.sources)) {
    if (!wants(reading, idOf(fork), source)) continue
    const reader = readerOf(reading, fork, source)
    if (reader.next === null && !sizes.final) continue
    // a node that has much to ship is not asked for it besides: it comes
    const comes = reading.follow && !sizes.final && size - shipped >= BACKLOG_BYTES
    if (!(yield* reader.fill(comes ? shipped : size, generation, reading.follow))) return false
    reading.isShort ||= comes && reader.next! < size
    if (sizes.final) yield* reader.rest()
    if (sizes.final && lost.some(([from, to]) => from === to)) yield* reader.gap(null, 'its file was removed')
  }
  // just prepared: a spool without files has no source that is not final
  if (sizes.final && (Object.keys(sizes.sources).length > 0 || hasExited(reading.status, fork)))
    reading.finished.add(idOf(fork))
  return true
}

export async function* completeAll(reading: Reading, forks: ForkParts[]): AsyncGenerator<LogItem> {
  reading.isShort = false
  for (const fork of forks) if (!reading.finished.has(idOf(fork))) yield* complete(reading, fork)
}

async function* tail(reading: Reading, fork: ForkParts, lines: number): AsyncGenerator<LogItem> {
  const sizes = await reading.spool.sizes(fork)
  if (sizes === null) return yield* lastLines(replay(reading, [fork]), lines)
  for (const [source, { generation }] of inOrder(sizes.sources)) {
    if (!wants(reading, idOf(fork), source)) continue
    const begin = await reading.spool.read(fork, source, { tailLines: lines })
    if (begin.what === 'bytes') readerOf(reading, fork, source).seek(begin.offset, generation)
  }
  yield* complete(reading, fork)
}

/** Forks whose node did not answer, and that the relay does not know to the end either. */
export async function* nameSilent(reading: Reading, forks: ForkParts[]): AsyncGenerator<LogItem> {
  for (const fork of forks) {
    if (reading.finished.has(idOf(fork)) || !reading.spool.isSilent(fork)) continue
    // what a follower left out to ask its node for it
    if (reading.follow) yield* replay(reading, [fork])
    const own = readersOf(reading, fork)
    if (own.length === 0)
      for (const source of ['stdout', 'stderr'])
        if (wants(reading, idOf(fork), source)) own.push(readerOf(reading, fork, source))
    for (const reader of own)
      if (reader.end === null || (reader.next ?? 0) < reader.end)
        yield* reader.gap(reader.end, 'no node answers for it')
  }
}

function inOrder<T>(sources: Record<string, T>): [string, T][] {
  return Object.entries(sources).toSorted(([a], [b]) => bySource(a, b))
}

/** The last lines of each source, where only the whole can be read. */
async function* lastLines(items: AsyncGenerator<LogItem>, count: number): AsyncGenerator<LogItem> {
  const kept = new Map<string, LogItem[]>()
  for await (const item of items) {
    const own = kept.get(`${item.forkId} ${item.source}`) ?? []
    own.push(item)
    if (own.length > count) own.shift()
    kept.set(`${item.forkId} ${item.source}`, own)
  }
  for (const own of kept.values()) yield* own
}
