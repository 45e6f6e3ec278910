/**
 * One source of one fork at the reader: what was given out, and how a chunk that comes next is joined to it.
 * Overlaps are trimmed, missing bytes are got from the node or the relay, and what nobody has is named. Owns
 * the position; knows nothing of followers or ends.
 */
import { forkIdOf, workerIdOf, type ForkParts } from '../../protocol/names.ts'
import type { Messenger } from '../../transport/messenger.ts'
import { parseSource, prefixOf, type LogItem, type LogOptions } from './items.ts'
import { lineSplitter, type Line } from './lines.ts'
import { logSubject, relayed, type LogMessage, type Spool, type SpoolRead } from './remote-spool.ts'

export interface SourceReader {
  readonly forkId: string
  readonly source: string
  /** next byte to give out; null: begins with the first chunk that comes (`since`) */
  readonly next: number | null
  readonly generation: number
  /** its length, once it is known that nothing is added */
  end: number | null
  /** begin (again) here */
  seek(offset: number, generation?: number): void
  /**
   * a chunk or record as it was shipped. What cannot be joined now is left out when `patient`, and is got
   * later by `fill`
   */
  feed(message: LogMessage, patient: boolean): AsyncGenerator<LogItem>
  /**
   * Give out everything up to `to` of a generation, from wherever it can be got.
   *
   * @param patient  a node that does not answer now is asked again later: no gap is named for that
   * @returns false when the rest has to be asked for again
   */
  fill(to: number, generation: number, patient: boolean): AsyncGenerator<LogItem, boolean>
  /** what has no newline */
  rest(): LogItem[]
  gap(to: number | null, why: string): LogItem[]
}

const READ_BYTES = 256 * 1024
/** Reads of one source that are under way at the same time. */
const READS_AHEAD = 4
/**
 * So much is read from the relay, as far as that has it: the node has other things to do, and is asked for
 * the rest.
 */
export const BACKLOG_BYTES = 1024 * 1024

export function sourceReader(
  messenger: Messenger,
  spool: Spool,
  fork: ForkParts,
  source: string,
  options: LogOptions,
  accepts: (text: string) => boolean,
  start: number | null,
): SourceReader {
  const { run, role, index, attempt } = fork
  const name = parseSource(source)!
  const origin = {
    forkId: forkIdOf(run, role, index, attempt),
    worker: workerIdOf(run, role, index),
    role,
    index,
    attempt,
    rank: name.rank,
    source,
    stream: name.stream,
  }
  const prefix = prefixOf(role, index, name.rank)
  const lines = options.raw === true || options.chunks === true ? null : lineSplitter()
  let next = start
  let generation = 0
  /** the relay's first message that may not have been given out */
  let relaySeq = 1

  const lineItem = ({ offset, bytes }: Line): LogItem[] => {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8').replace(/\r$/, '')
    return accepts(text) ? [{ kind: 'line', ...origin, offset, prefix, text, bytes }] : []
  }
  const rest = (): LogItem[] => {
    const line = lines?.flush() ?? null
    return line === null ? [] : lineItem(line)
  }
  const emit = (offset: number, bytes: Uint8Array): LogItem[] => {
    next = offset + bytes.length
    if (bytes.length === 0) return []
    return lines === null
      ? [{ kind: 'chunk', ...origin, offset, bytes }]
      : lines.push(offset, bytes).flatMap(lineItem)
  }
  const gap = (to: number | null, why: string): LogItem[] => {
    const offset = next ?? 0
    const items: LogItem[] = [...rest(), { kind: 'gap', ...origin, offset, prefix, to, why }]
    if (to !== null) next = to
    return items
  }
  const restart = (to: number): LogItem[] => {
    const items = rest()
    generation = to
    next = 0
    return items
  }

  /** From the relay: what it has of [next, to); the holes between are named. */
  async function* fillFromRelay(to: number, why: string): AsyncGenerator<LogItem> {
    try {
      for await (const message of relayed(messenger, logSubject(messenger.fleet, { ...fork, source }))) {
        if (
          message.offset === null ||
          message.generation !== generation ||
          message.offset + message.bytes.length <= next!
        )
          continue
        if (message.offset >= to) break
        if (message.offset > next!) yield* gap(message.offset, why)
        yield* emit(
          next!,
          message.bytes.subarray(next! - message.offset, Math.min(message.bytes.length, to - message.offset)),
        )
        if (next! >= to) return
      }
    } catch {
      // no relay either: the gap says so
    }
    if (next! < to) yield* gap(to, why)
  }

  /**
   * As far as the relay goes on without a hole from `next`.
   *
   * @returns where the hole ends that its node has to fill; Infinity where the relay has nothing more
   */
  async function* replay(to: number): AsyncGenerator<LogItem, number> {
    try {
      for await (const message of relayed(
        messenger,
        logSubject(messenger.fleet, { ...fork, source }),
        relaySeq,
      )) {
        const { offset, bytes } = message
        if (offset !== null && message.generation === generation && offset + bytes.length > next!) {
          if (offset > next!) return offset
          yield* emit(next!, bytes.subarray(next! - offset, to - offset))
          if (next! >= to) break
        }
        relaySeq = message.seq! + 1
      }
    } catch {
      // no relay: its node has it all
    }
    return Infinity
  }

  async function* readSpool(to: number, patient: boolean): AsyncGenerator<LogItem, boolean> {
    const ahead: { from: number; read: Promise<SpoolRead> }[] = []
    let asked = next!
    while (next! < to) {
      for (; ahead.length < READS_AHEAD && asked < to; asked = Math.min(to, asked + READ_BYTES)) {
        const read = spool.read(fork, source, { offset: asked, bytesMax: Math.min(READ_BYTES, to - asked) })
        read.catch(() => undefined) // it is thrown where it is awaited, which may be never
        ahead.push({ from: asked, read })
      }
      const { from, read } = ahead.shift()!
      const got = await read
      if (got.what === 'bytes' && got.generation === generation && got.bytes.length > 0)
        yield* emit(from, got.bytes)
      else if (got.what === 'gone' && got.floor > next!)
        yield* fillFromRelay(Math.min(got.floor, to), 'no longer kept')
      else if (got.what === 'silent' && patient) return false
      else
        yield* fillFromRelay(
          to,
          got.what === 'bytes' ? 'the program truncated its file' : 'its node does not answer',
        )
      // what was asked for ahead is no longer what comes next
      if ((ahead[0]?.from ?? asked) !== next) {
        ahead.length = 0
        asked = next!
      }
    }
    return true
  }

  async function* fill(to: number, of: number, patient: boolean): AsyncGenerator<LogItem, boolean> {
    if (of < generation) return true
    if (of > generation) yield* restart(of)
    next ??= to
    for (let relayHasMore = to - next >= BACKLOG_BYTES; next < to;) {
      // who follows takes what was added since, too
      const hole = relayHasMore ? yield* replay(patient ? Infinity : to) : Infinity
      relayHasMore = hole < to
      if (!(yield* readSpool(Math.min(hole, to), patient))) return false
    }
    return true
  }

  return {
    forkId: origin.forkId,
    source,
    end: null,
    get next() {
      return next
    },
    get generation() {
      return generation
    },
    seek(offset, of = generation) {
      next = offset
      generation = of
    },
    async *feed(message, patient) {
      if (message.generation < generation) return
      const { record } = message
      if (record?.kind === 'truncated') {
        if (record.generation > generation && next !== null && next < record.bytes)
          yield* fillFromRelay(record.bytes, 'the program truncated its file')
        if (record.generation > generation) yield* restart(record.generation)
      } else if (record?.kind === 'lost') {
        if (next !== null && next < record.to) {
          if (next < record.from && !(yield* fill(record.from, record.generation, patient))) return
          yield* gap(record.to, record.why)
        }
      } else if (message.offset !== null) {
        if (message.generation > generation) yield* restart(message.generation)
        next ??= message.offset
        if (message.offset + message.bytes.length <= next) return
        if (message.offset > next && !(yield* fill(message.offset, message.generation, patient))) return
        yield* emit(next, message.bytes.subarray(next - message.offset))
      }
    },
    fill,
    rest,
    gap,
  }
}
