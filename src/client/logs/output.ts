/**
 * The items of one source as they are given out, and how far that is. Owns the position; getting the bytes is
 * fill.ts', joining chunks source.ts'.
 */
import { forkIdOf, workerIdOf, type ForkParts } from '../../protocol/names.ts'
import { parseSource, prefixOf, type LogItem, type LogOptions } from './items.ts'
import { lineSplitter, type Line } from './lines.ts'

export interface Output {
  readonly forkId: string
  /** next byte to give out; null: begins with the first chunk that comes (`since`) */
  next: number | null
  /** it grows when the program truncates its file */
  generation: number
  emit(offset: number, bytes: Uint8Array): LogItem[]
  /** what has no newline */
  rest(): LogItem[]
  gap(to: number | null, why: string): LogItem[]
  /** begin a generation at its byte 0 */
  restart(generation: number): LogItem[]
}

export function outputOf(
  fork: ForkParts,
  source: string,
  options: LogOptions,
  accepts: (text: string) => boolean,
  start: number | null,
): Output {
  const { run, role, index, attempt } = fork
  const { rank, stream } = parseSource(source)!
  const forkId = forkIdOf(run, role, index, attempt)
  const origin = { forkId, worker: workerIdOf(run, role, index), role, index, attempt, rank, source, stream }
  const prefix = prefixOf(role, index, rank)
  const lines = options.raw === true || options.chunks === true ? null : lineSplitter()

  const lineItem = ({ offset, bytes }: Line): LogItem[] => {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8').replace(/\r$/, '')
    return accepts(text) ? [{ kind: 'line', ...origin, offset, prefix, text, bytes }] : []
  }
  const output: Output = {
    forkId,
    next: start,
    generation: 0,
    emit(offset, bytes) {
      output.next = offset + bytes.length
      if (bytes.length === 0) return []
      return lines === null
        ? [{ kind: 'chunk', ...origin, offset, bytes }]
        : lines.push(offset, bytes).flatMap(lineItem)
    },
    rest() {
      const line = lines?.flush() ?? null
      return line === null ? [] : lineItem(line)
    },
    gap(to, why) {
      const offset = output.next ?? 0
      const items: LogItem[] = [...output.rest(), { kind: 'gap', ...origin, offset, prefix, to, why }]
      if (to !== null) output.next = to
      return items
    },
    restart(generation) {
      const items = output.rest()
      output.generation = generation
      output.next = 0
      return items
    },
  }
  return output
}
