/**
 * One source of one fork at the reader: how a chunk that comes next is joined to what was given out. Overlaps
 * are trimmed, missing bytes are got by fill.ts, and what nobody has is named. Knows nothing of followers or
 * ends.
 */
import type { ForkParts } from '../../protocol/names.ts'
import type { Messenger } from '../../transport/messenger.ts'
import { fill, fillFromRelay, type Filling } from './fill.ts'
import type { LogItem, LogOptions } from './items.ts'
import { outputOf } from './output.ts'
import type { LogMessage, Spool } from './remote-spool.ts'

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
  /** as fill.ts says */
  fill(to: number, generation: number, patient: boolean): AsyncGenerator<LogItem, boolean>
  /** what has no newline */
  rest(): LogItem[]
  gap(to: number | null, why: string): LogItem[]
}

export function sourceReader(
  messenger: Messenger,
  spool: Spool,
  fork: ForkParts,
  source: string,
  options: LogOptions,
  accepts: (text: string) => boolean,
  start: number | null,
): SourceReader {
  const out = outputOf(fork, source, options, accepts, start)
  const filling: Filling = { messenger, spool, fork, source, out, relaySeq: 1 }
  return {
    forkId: out.forkId,
    source,
    end: null,
    get next() {
      return out.next
    },
    get generation() {
      return out.generation
    },
    seek(offset, generation = out.generation) {
      out.next = offset
      out.generation = generation
    },
    feed: (message, patient) => feed(filling, message, patient),
    fill: (to, generation, patient) => fill(filling, to, generation, patient),
    rest: out.rest,
    gap: out.gap,
  }
}

async function* feed(filling: Filling, message: LogMessage, patient: boolean): AsyncGenerator<LogItem> {
  const { out } = filling
  const { record, offset, bytes, generation } = message
  if (generation < out.generation) return
  if (record?.kind === 'truncated') {
    if (record.generation > out.generation && out.next !== null && out.next < record.bytes)
      yield* fillFromRelay(filling, record.bytes, 'the program truncated its file')
    if (record.generation > out.generation) yield* out.restart(record.generation)
  } else if (record?.kind === 'lost') {
    if (out.next === null || out.next >= record.to) return
    if (out.next < record.from && !(yield* fill(filling, record.from, record.generation, patient))) return
    yield* out.gap(record.to, record.why)
  } else if (offset !== null) {
    if (generation > out.generation) yield* out.restart(generation)
    out.next ??= offset
    if (offset + bytes.length <= out.next) return
    if (offset > out.next && !(yield* fill(filling, offset, generation, patient))) return
    yield* out.emit(out.next, bytes.subarray(out.next - offset))
  }
}
