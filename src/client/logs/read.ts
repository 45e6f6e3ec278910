/**
 * Logs of a run, role, worker or rank as one sequence: the past, then (with `follow`) what comes, until the
 * log is complete. Owns the order of the parts alone: which forks and sources are read is which.ts', the past
 * past.ts', what comes follow.ts'. Joining bytes is source.ts', getting them remote-spool.ts'.
 */
import type { Messenger } from '../../transport/messenger.ts'
import type { Ref } from '../refs.ts'
import { follow, openFeed, pinSource } from './follow.ts'
import type { LogItem, LogOptions } from './items.ts'
import { past } from './past.ts'
import { beginReading, type Wanted } from './reading.ts'
import { checkAsked, forksOf } from './which.ts'

/**
 * @throws {Fault} WORKER_NOT_FOUND; USAGE when `raw` fits several sources; SPEC_INVALID for a pattern that is
 * none; CONN
 */
export async function* readLogs(
  messenger: Messenger,
  user: string,
  ref: Ref,
  options: LogOptions = {},
): AsyncGenerator<LogItem, void, undefined> {
  const wanted: Wanted = { messenger, user, ref, options, pinned: null }
  const feed = options.follow === true ? openFeed(wanted) : null
  try {
    const reading = await beginReading(wanted)
    checkAsked(reading)
    if (options.raw === true && !(await pinSource(reading, feed))) return
    yield* past(reading, forksOf(reading))
    if (feed !== null) yield* follow(reading, feed)
  } finally {
    feed?.close()
  }
}
