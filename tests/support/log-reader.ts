/**
 * Puts the files of log sources together again from what the bus delivers: overlaps are trimmed, gaps stay
 * gaps. As a reader must, and independent of the client library's.
 */
import { readLogHeaders, sourceOfToken, type LogRecord } from '../../src/protocol/log-records.ts'
import { parseSubject, wildcardOf } from '../../src/protocol/subjects.ts'
import { streamOf } from '../../src/protocol/table.ts'
import type { Bus, Message } from '../../src/transport/bus.ts'

export interface ReadSource {
  generation: number
  /** by offset, of the present generation; no two overlap */
  chunks: Map<number, Buffer>
  records: LogRecord[]
  bytes: number
}

export function readLogs(
  bus: Bus,
  fleet: string,
): {
  sources: Map<string, ReadSource>
  finals: number
  see(message: Message): void
  fromStream(): Promise<void>
} {
  const reader = {
    sources: new Map<string, ReadSource>(),
    finals: 0,
    see(message: Message): void {
      const params = parseSubject(fleet, 'log', message.subject)!
      const headers = readLogHeaders(message.headers)!
      const name = `${params.run}.${params.role}.${params.index}.${params.attempt} ${sourceOfToken(params.source)}`
      const source = reader.sources.get(name) ?? {
        generation: 0,
        chunks: new Map<number, Buffer>(),
        records: [],
        bytes: 0,
      }
      reader.sources.set(name, source)
      if (headers.generation > source.generation) {
        source.generation = headers.generation
        source.chunks.clear()
        source.bytes = 0
      }
      if (headers.record !== null) {
        if (source.records.some((record) => JSON.stringify(record) === JSON.stringify(headers.record))) return
        source.records.push(headers.record)
        if (headers.record.kind === 'final') reader.finals++
        return
      }
      if (headers.generation < source.generation || source.chunks.has(headers.offset!)) return
      source.chunks.set(headers.offset!, Buffer.from(message.body))
      source.bytes += message.body.length
    },
    /** what a live reader missed while its own link was down */
    async fromStream(): Promise<void> {
      for (let seq = 1; ;) {
        const page = await bus.getMessages(streamOf(fleet, 'LOG'), { seq, count: 32 })
        if (page.length === 0) return
        for (const message of page) reader.see(message)
        seq = page.at(-1)!.seq + 1
      }
    },
  }
  bus.subscribe(wildcardOf(fleet, 'log'), (message) => reader.see(message))
  return reader
}

/** The bytes from the first chunk on, and the ranges that are missing before `size`. */
export function assemble(source: ReadSource, size: number): { bytes: Buffer; gaps: [number, number][] } {
  const parts: Buffer[] = []
  const gaps: [number, number][] = []
  let at = 0
  for (const [offset, chunk] of [...source.chunks].toSorted(([a], [b]) => a - b)) {
    if (offset > at) gaps.push([at, offset])
    const fresh = chunk.subarray(Math.max(0, at - offset))
    if (fresh.length > 0) parts.push(fresh)
    at = Math.max(at, offset + chunk.length)
  }
  if (at < size) gaps.push([at, size])
  return { bytes: Buffer.concat(parts), gaps }
}
