/**
 * Ended runs that the coordinator's memory no longer holds: written to their stream in parts, and read back
 * in pages for `status` and `list`. Part 0 has the head of the status, and is written when all others are
 * there.
 */
import { archiveCursor } from '../../core/coordinator/lists.ts'
import { summaryOfStatus } from '../../core/coordinator/status.ts'
import { Fault } from '../../protocol/faults.ts'
import { parseWorkerId } from '../../protocol/names.ts'
import { fillPage, newPage, noCursor, PAGE_BYTES_MAX, type Page } from '../../protocol/pages.ts'
import type { RunStatus, WorkerStatus } from '../../protocol/shapes.ts'
import type { RunSummary } from '../../protocol/run-summary.ts'
import { rootOf, subjectOf } from '../../protocol/subjects.ts'
import { streamOf, type BodyOf, type ReplyOf } from '../../protocol/table.ts'
import type { Bus } from '../../transport/bus.ts'
import type { Messenger } from '../../transport/messenger.ts'
import { isNeverTaken } from './never-taken.ts'

type Part = BodyOf<'archive'>
type StatusQuery = BodyOf<'coordinator.status'>

export interface Archive {
  /** @throws {Fault} of the bus; REQUEST_INVALID when the status can never be written */
  put(status: RunStatus): Promise<void>
  /**
   * null when the run is not there (or cannot be read now). @throws {Fault} WORKER_NOT_FOUND, GONE,
   * REQUEST_INVALID for the cursor
   */
  status(query: StatusQuery): Promise<ReplyOf<'coordinator.status'> | null>
  /** a page that begins with `runs`, and goes on with archived ones; `partial` when they cannot be read */
  list(options: {
    runs: RunSummary[]
    count: number | undefined
    before: number | null
    inMemory: readonly string[]
  }): Promise<ReplyOf<'coordinator.list'>>
}

/** The list reads part 0 of each run: that holds few workers, so that most runs are one small message. */
const PART_0_BYTES_MAX = 16 * 1024
/** Messages of the stream that are looked through at once, and at most for one page of the list. */
const WINDOW = 256
const WINDOWS_A_PAGE = 2

interface ArchiveOptions {
  bus: Bus
  messenger: Messenger
  fleet: string
  log(fields: Record<string, unknown>): void
}

export function archiveOn(options: ArchiveOptions): Archive {
  const { bus, messenger, fleet, log } = options
  const stream = streamOf(fleet, 'ARCHIVE')
  const read = async (run: string, part: number): Promise<Part | null> => {
    const message = await bus.getLast(stream, subjectOf(fleet, 'archive', { run, part }), 'leader')
    return message === null ? null : (messenger.read('archive', message)?.body ?? null)
  }
  const cannotRead = (error: unknown): null => {
    log({ level: 'warn', msg: 'the archive cannot be read', error: String(error) })
    return null
  }
  return {
    async put(status) {
      const [head, ...others] = partsOf(status)
      for (const part of [...others, head])
        await messenger.emit('archive', { run: part.run, part: part.part }, part)
    },
    async status(query) {
      const head = await read(query.run, 0).catch(cannotRead)
      return head === null ? null : statusPage(head, query, (part) => read(query.run, part))
    },
    async list({ runs, count, before, inMemory }) {
      const page = newPage<RunSummary>(count)
      for (const run of runs) page.add(run)
      const { seq, partial } = await addArchived(options, page, before, new Set(inMemory)).catch((error) => {
        cannotRead(error)
        return { seq: null, partial: 'the archive of ended runs cannot be read now' }
      })
      return { runs: page.items, partial, next: seq === null ? null : archiveCursor(seq) }
    },
  }
}

const RETRY_MS = 500

/**
 * Resolves when a status is archived, or given up. The bus may come back and a permission be given; a status
 * that does not fit now never will, and its run would stay in memory and in STATE for ever.
 */
export async function archiveAtLast(
  archive: Pick<Archive, 'put'>,
  status: RunStatus,
  { after, log }: Pick<ArchiveOptions, 'log'> & { after(ms: number, fn: () => void): void },
): Promise<void> {
  for (;;) {
    try {
      return await archive.put(status)
    } catch (error) {
      const said = { run: status.run, error: String(error) }
      if (isNeverTaken(error))
        return log({ level: 'error', msg: 'a run cannot be archived: its status is given up', ...said })
      log({ level: 'warn', msg: 'a run was not archived; trying again', ...said })
      await new Promise<void>((resolve) => after(RETRY_MS, resolve))
    }
  }
}

async function statusPage(
  head: Part,
  query: StatusQuery,
  read: (part: number) => Promise<Part | null>,
): Promise<ReplyOf<'coordinator.status'>> {
  const isAsked = askedFrom(head, query)
  const page = newPage<WorkerStatus>(query.count)
  const { part: _part, starts, ...status } = head
  for (let part = query.from === undefined ? 0 : partWith(head, query.from); part <= starts.length; part++) {
    const workers = part === 0 ? head.workers : (await read(part))?.workers
    if (workers === undefined)
      throw new Fault('GONE', `part ${part} of the status of ${query.run} is no longer kept`)
    for (const worker of workers)
      if (isAsked(worker) && !page.add(worker)) return { ...status, workers: page.items, next: worker.worker }
  }
  return { ...status, workers: page.items, next: null }
}

/** Fill the page backwards from a message. @returns the message that the next page begins with */
async function addArchived(
  { bus, messenger, fleet }: ArchiveOptions,
  page: Page<RunSummary>,
  before: number | null,
  inMemory: ReadonlySet<string>,
): Promise<{ seq: number | null; partial: string | null }> {
  const stream = streamOf(fleet, 'ARCHIVE')
  const heads = `${rootOf(fleet)}.archive.*.0`
  const oldest = await bus.getMessage(stream, { seq: 1 })
  const newest = await bus.getLast(stream, heads, 'leader')
  if (oldest === null || newest === null) return { seq: null, partial: null }
  let seq = Math.min(before ?? newest.seq, newest.seq)
  for (let window = 0; seq >= oldest.seq; window++) {
    if (window === WINDOWS_A_PAGE) return { seq, partial: null }
    const from = Math.max(oldest.seq, seq - WINDOW + 1)
    const messages = await bus.getMessages(stream, { seq: from, subject: heads, count: WINDOW })
    for (const message of messages.toReversed()) {
      if (message.seq > seq) continue
      const part = messenger.read('archive', message)?.body
      if (part !== undefined && !inMemory.has(part.run) && !page.add(summaryOfStatus(part)))
        return { seq: message.seq, partial: null }
    }
    seq = from - 1
  }
  return { seq: null, partial: oldest.seq > 1 ? 'the archive has dropped its oldest runs' : null }
}

/** A status in parts that fit: all workers, in order, and in the first the places where the others begin. */
function partsOf(status: RunStatus): [Part, ...Part[]] {
  const first = { ...status, workers: [] as WorkerStatus[], part: 0, starts: [] as string[] }
  const parts: [Part, ...Part[]] = [first]
  for (let from = 0; from < status.workers.length || from === 0;) {
    const bytesMax = from === 0 ? PART_0_BYTES_MAX : PAGE_BYTES_MAX
    const { items } = fillPage(status.workers.slice(from), (worker) => worker, { bytesMax })
    if (from === 0) first.workers = items
    else {
      first.starts.push(items[0]!.worker)
      parts.push({ ...status, workers: items, part: parts.length, starts: [] })
    }
    from += items.length
    if (items.length === 0) break
  }
  return parts
}

/** @returns which workers are asked for. @throws {Fault} WORKER_NOT_FOUND, REQUEST_INVALID for the cursor */
function askedFrom(head: Part, { run, role, index, from }: StatusQuery): (worker: WorkerStatus) => boolean {
  const known = head.roles.find((one) => one.role === role)
  if (role !== undefined && (known === undefined || (index ?? 0) >= known.workers))
    throw new Fault(
      'WORKER_NOT_FOUND',
      known === undefined
        ? `run ${run} has no role '${role}'; it has ${head.roles.map((one) => one.role).join(', ')}`
        : `role ${role} of ${run} has ${known.workers} workers; not ${role}/${index}`,
    )
  const start = from === undefined ? null : placeOf(head, from)
  if (start === undefined || (start !== null && role !== undefined && head.roles[start[0]]!.role !== role))
    throw noCursor(from!, `the workers asked for of ${run}`)
  return (worker) => {
    if (role !== undefined && (worker.role !== role || (index !== undefined && worker.index !== index)))
      return false
    if (start === null) return true
    return !isBefore(placeOf(head, worker.worker)!, start)
  }
}

type Place = [role: number, index: number]
/** @returns undefined for a text that is no worker of this run */
function placeOf(head: Part, worker: string): Place | undefined {
  const name = parseWorkerId(worker)
  const role = head.roles.findIndex((one) => one.role === name?.role)
  return name?.run !== head.run || role < 0 ? undefined : [role, name.index]
}
function isBefore(a: Place, b: Place): boolean {
  return a[0] < b[0] || (a[0] === b[0] && a[1] < b[1])
}

/** The last part that begins at or before the cursor. */
function partWith(head: Part, from: string): number {
  const start = placeOf(head, from)!
  const after = head.starts.findIndex((first) => isBefore(start, placeOf(head, first)!))
  return after < 0 ? head.starts.length : after
}
