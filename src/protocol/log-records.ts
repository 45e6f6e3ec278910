/**
 * What a message on a log subject says beside its bytes: fork, byte offset, generation, and records
 * (truncated, lost, limited, final). Owns the headers' form and the token of a source in a subject; both
 * shipper and readers go through here.
 *
 * A chunk has `Troupe-Fork`, `Troupe-Offset` and, after a truncation, `Troupe-Generation`; its body is the
 * file's bytes from that offset on. A record has `Troupe-Record` (JSON) and an empty body. A reader keys on
 * (fork, source, generation), trims what it has, and names what is missing. A chunk may come twice.
 */
import * as z from 'zod'
import { HEADERS } from './table.ts'

const Offset = z.number().int().min(0)

export const LogRecord = z.discriminatedUnion('kind', [
  /**
   * the file shrank: offsets begin again at 0 in this generation; `bytes` is where the one before ended, as
   * far as it was read
   */
  z.object({ kind: z.literal('truncated'), generation: Offset, bytes: Offset }),
  /** the range [from, to) was given up, and why in a few words */
  z.object({ kind: z.literal('lost'), generation: Offset, from: Offset, to: Offset, why: z.string() }),
  /** the worker's logs are shipped no faster than this from here on; nothing is lost by it */
  z.object({ kind: z.literal('limited'), generation: Offset, offset: Offset, bytesPerSecond: z.number() }),
  /** nothing comes after this: the source ends at `bytes` */
  z.object({
    kind: z.literal('final'),
    generation: Offset,
    bytes: Offset,
    lost: z.array(z.tuple([Offset, Offset])),
  }),
])
export type LogRecord = z.infer<typeof LogRecord>

export interface LogHeaders {
  forkId: string
  generation: number
  /** of the first byte of the body; null for a record */
  offset: number | null
  record: LogRecord | null
}

export function logHeaders(chunk: {
  forkId: string
  generation: number
  offset: number
}): Record<string, string> {
  return {
    [HEADERS.fork]: chunk.forkId,
    [HEADERS.offset]: String(chunk.offset),
    ...(chunk.generation > 0 && { [HEADERS.generation]: String(chunk.generation) }),
  }
}

export function recordHeaders(forkId: string, record: LogRecord): Record<string, string> {
  return {
    [HEADERS.fork]: forkId,
    [HEADERS.record]: JSON.stringify(record),
  }
}

/** @returns null when the headers are not those of a log message */
export function readLogHeaders(headers: Readonly<Record<string, string>>): LogHeaders | null {
  const forkId = headers[HEADERS.fork]
  if (forkId === undefined) return null
  const recordText = headers[HEADERS.record]
  if (recordText !== undefined) {
    const record = LogRecord.safeParse(parseQuietly(recordText))
    return record.success
      ? { forkId, generation: record.data.generation, offset: null, record: record.data }
      : null
  }
  const offset = Number(headers[HEADERS.offset] ?? Number.NaN)
  const generation = Number(headers[HEADERS.generation] ?? 0)
  return Number.isSafeInteger(offset) && offset >= 0 && Number.isSafeInteger(generation)
    ? { forkId, generation, offset, record: null }
    : null
}

/** A source as a token of a subject: `r0.1-stdout` has a dot, which would change the address. */
export function sourceToken(source: string): string {
  return source.replaceAll('.', '_')
}
export function sourceOfToken(token: string): string {
  return token.replaceAll('_', '.')
}

function parseQuietly(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
