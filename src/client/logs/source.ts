/**
 * One source of one fork at the reader: what was given out, and how a chunk that comes next is joined to it. Overlaps are trimmed,
 * missing bytes are got from the node or the relay, and what nobody has is named. Owns the position; knows nothing of followers or ends.
 */
import { forkIdOf, workerIdOf, type ForkParts } from '../../protocol/names.ts'
import type { Messenger } from '../../transport/messenger.ts'
import { parseSource, prefixOf, type LogItem, type LogOptions } from './items.ts'
import { lineSplitter, type Line } from './lines.ts'
import { logSubject, relayed, type LogMessage, type Spool } from './spool.ts'

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
  /** a chunk or record as it was shipped */
  feed(message: LogMessage): AsyncGenerator<LogItem>
  /** give out everything up to `to` of a generation, from wherever it can be got */
  fill(to: number, generation: number): AsyncGenerator<LogItem>
  /** what has no newline */
  rest(): LogItem[]
  gap(to: number | null, why: string): LogItem[]
}

const FILL_BYTES = 256 * 1024

export const sourceReader = (messenger: Messenger, spool: Spool, fork: ForkParts, source: string, options: LogOptions, accepts: (text: string) => boolean, start: number | null): SourceReader => {
  const { run, role, index, attempt } = fork
  const name = parseSource(source)!
  const origin = { forkId: forkIdOf(run, role, index, attempt), worker: workerIdOf(run, role, index), role, index, attempt, rank: name.rank, source, stream: name.stream }
  const prefix = prefixOf(role, index, name.rank)
  const lines = options.raw === true || options.chunks === true ? null : lineSplitter()
  let next = start
  let generation = 0

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
    return lines === null ? [{ kind: 'chunk', ...origin, offset, bytes }] : lines.push(offset, bytes).flatMap(lineItem)
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
        if (message.offset === null || message.generation !== generation || message.offset + message.bytes.length <= next!) continue
        if (message.offset >= to) break
        if (message.offset > next!) yield* gap(message.offset, why)
        yield* emit(next!, message.bytes.subarray(next! - message.offset, Math.min(message.bytes.length, to - message.offset)))
        if (next! >= to) return
      }
    } catch {
      // no relay either: the gap says so
    }
    if (next! < to) yield* gap(to, why)
  }

  async function* fill(to: number, of: number): AsyncGenerator<LogItem> {
    if (of < generation) return
    if (of > generation) yield* restart(of)
    next ??= to
    while (next < to) {
      const read = await spool.read(fork, source, { offset: next, bytesMax: Math.min(FILL_BYTES, to - next) })
      if (read.what === 'bytes' && read.generation === generation && read.bytes.length > 0) yield* emit(next, read.bytes)
      else if (read.what === 'gone' && read.floor > next) yield* fillFromRelay(Math.min(read.floor, to), 'no longer kept')
      else yield* fillFromRelay(to, read.what === 'bytes' ? 'the program truncated its file' : 'its node does not answer')
    }
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
    async *feed(message) {
      if (message.generation < generation) return
      const { record } = message
      if (record?.kind === 'truncated') {
        if (record.generation > generation && next !== null && next < record.bytes) yield* fillFromRelay(record.bytes, 'the program truncated its file')
        if (record.generation > generation) yield* restart(record.generation)
      } else if (record?.kind === 'lost') {
        if (next !== null && next < record.to) {
          if (next < record.from) yield* fill(record.from, record.generation)
          yield* gap(record.to, record.why)
        }
      } else if (message.offset !== null) {
        if (message.generation > generation) yield* restart(message.generation)
        next ??= message.offset
        if (message.offset + message.bytes.length <= next) return
        if (message.offset > next) yield* fill(message.offset, message.generation)
        yield* emit(next, message.bytes.subarray(next - message.offset))
      }
    },
    fill,
    rest,
    gap,
  }
}
