/**
 * Entries of a state log as they lie in their stream: how a message becomes an entry, what a whole log looks
 * like, and where its last snapshot begins. Owns no reading and writing: bus-state-log.ts does that.
 */
import { decode } from '../protocol/codec.ts'
import { Fault } from '../protocol/faults.ts'
import { STATE_FORMAT, StateEntry } from '../protocol/records.ts'
import { HEADERS } from '../protocol/table.ts'
import type { Message } from './bus.ts'

/** @throws {Fault} FAILED when this version cannot read the entry */
export function decodeEntry(stream: string, message: Message & { seq: number }): StateEntry {
  const value = decode(message.body, message.headers[HEADERS.contentType])
  checkFormat(stream, value)
  const parsed = StateEntry.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]?.message
  throw new Fault(
    'FAILED',
    `entry ${message.seq} of ${stream} is not one that this version can read: ${issue}`,
  )
}

/**
 * Another version wrote the entry: a leader that cannot read an entry would lose it.
 *
 * @throws {Fault} FAILED
 */
function checkFormat(stream: string, value: unknown): void {
  const { format } = value as { format?: unknown }
  if (format === STATE_FORMAT) return
  const found = typeof format === 'number' ? String(format) : 'none'
  throw new Fault('FAILED', `${stream} is in format ${found}; this version reads format ${STATE_FORMAT}`, {
    data: { reason: 'state-format', found, expected: STATE_FORMAT },
    hint: `start the version of Troupe that wrote it; where nothing of it is needed, delete the stream ${stream}`,
  })
}

/**
 * What a log that was only written and purged by leaders cannot look like. A tail that was cut off leaves no
 * trace here: what others remember of it is compared by the coordinator.
 */
export function missingIn(
  entries: readonly StateEntry[],
  seqOf: (entry: StateEntry) => number,
): string | null {
  const [first] = entries
  if (first === undefined) return null
  const gap = entries.findIndex((entry, i) => i > 0 && seqOf(entry) !== seqOf(entries[i - 1]!) + 1)
  if (gap > 0)
    return `entries ${seqOf(entries[gap - 1]!) + 1} to ${seqOf(entries[gap]!) - 1} of the state log are missing`
  const begins = seqOf(first) === 1 || (first.kind === 'snapshot' && first.part?.[0] === 1)
  return begins ? null : `the state log begins at entry ${seqOf(first)}, which is no snapshot`
}

/** Index of part 1 of the last snapshot that has all its parts; 0 when there is none. */
export function startOfLastSnapshot(entries: readonly StateEntry[]): number {
  let complete = 0
  let start = 0
  let expected = 1
  entries.forEach((entry, index) => {
    if (entry.kind !== 'snapshot') return
    const [part, of] = entry.part ?? [1, 1]
    const follows = part === expected && (part === 1 || entries[start]!.writer === entry.writer)
    if (part === 1) start = index
    else if (!follows) return void (expected = 1)
    expected = part + 1
    if (part === of) {
      complete = start
      expected = 1
    }
  })
  return complete
}
