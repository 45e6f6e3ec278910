/**
 * One reading of logs, as its parts share it: what was asked, the run as it was when last looked at, and how
 * far each source is. Owns the state; which forks and sources are wanted is which.ts', getting their bytes
 * past.ts' and follow.ts'.
 */
import { forkIdOf, type ForkParts } from '../../protocol/names.ts'
import { matcherOf } from '../../protocol/launch/patterns.ts'
import type { RunStatus } from '../../protocol/shapes.ts'
import type { Messenger } from '../../transport/messenger.ts'
import { readStatus } from '../pages.ts'
import type { Ref } from '../refs.ts'
import type { LogOptions } from './items.ts'
import { spoolOf, type Spool } from './remote-spool.ts'
import { sourceReader, type SourceReader } from './source.ts'

/** Known before the run is looked at: a follower listens with it already. */
export interface Wanted {
  readonly messenger: Messenger
  readonly user: string
  readonly ref: Ref
  readonly options: LogOptions
  /** `raw` reads one source of one fork: the first that fits */
  pinned: { forkId: string; source: string } | null
}

export interface Reading extends Wanted {
  readonly follow: boolean
  readonly accepts: (text: string) => boolean
  readonly spool: Spool
  /** by fork and source */
  readonly readers: Map<string, SourceReader>
  /** forks that were read to an end that their node told */
  readonly finished: Set<string>
  /** the run when it was last looked at */
  status: RunStatus
  /** sources that are new to us begin at byte 0, but with `since` at their first chunk */
  fromStart: boolean
  /** the last read stopped short of a file's size */
  isShort: boolean
}

/** @throws {Fault} SPEC_INVALID for a pattern that is none; CONN */
export async function beginReading(wanted: Wanted): Promise<Reading> {
  const { messenger, options } = wanted
  const { grep, raw = false, chunks = false, signal, since } = options
  const accepts = grep === undefined || raw || chunks ? () => true : matcherOf(grep)
  return Object.assign(wanted, {
    follow: options.follow === true,
    accepts,
    spool: spoolOf(messenger, signal),
    readers: new Map<string, SourceReader>(),
    finished: new Set<string>(),
    status: await askStatus(wanted),
    fromStart: since === undefined,
    isShort: false,
  })
}

/** Of one worker its own status is enough, of one rank those of its role. */
export function askStatus({ messenger, user, ref, options }: Wanted): Promise<RunStatus> {
  const { run, role } = ref
  const [index, ...others] = options.rank === undefined ? (ref.indices ?? []) : []
  const isOne = index !== undefined && others.length === 0
  const target = role === undefined ? { run } : { run, role, ...(isOne && { index }) }
  return readStatus({ messenger, user }, target, { signal: options.signal })
}

export function readerOf(reading: Reading, fork: ForkParts, source: string): SourceReader {
  const key = `${idOf(fork)} ${source}`
  let reader = reading.readers.get(key)
  if (reader === undefined) {
    const { messenger, spool, options, accepts, fromStart } = reading
    reader = sourceReader(messenger, spool, fork, source, options, accepts, fromStart ? 0 : null)
    reading.readers.set(key, reader)
  }
  return reader
}

export function readersOf(reading: Reading, fork: ForkParts): SourceReader[] {
  return [...reading.readers.values()].filter((reader) => reader.forkId === idOf(fork))
}

export function idOf({ run, role, index, attempt }: ForkParts): string {
  return forkIdOf(run, role, index, attempt)
}
