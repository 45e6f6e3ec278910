/**
 * Logs of a run, role, worker or rank as one sequence: the past, then (with `follow`) what comes, until the
 * log is complete. Owns which forks and sources are read and when it ends; joining bytes is source.ts',
 * getting them spool.ts'.
 *
 * The past of several sources is replayed from the relay, which has it in the order of time, and completed
 * from the spools; of one source a long past comes from the relay as far as that has it, the rest and a tail
 * from the spool. With `follow` the live subject is subscribed before anything is read, so that nothing falls
 * between.
 */
import { Fault, toFault } from '../../protocol/faults.ts'
import { forkIdOf, parseForkId, type ForkParts } from '../../protocol/names.ts'
import { matcherOf } from '../../protocol/patterns.ts'
import { isTerminal, type RunStatus, type WorkerStatus } from '../../protocol/shapes.ts'
import type { Subscription } from '../../transport/bus.ts'
import type { Messenger } from '../../transport/messenger.ts'
import { eventSubject } from '../events.ts'
import { asyncQueue } from '../async-queue.ts'
import { readStatus } from '../pages.ts'
import { checkRef, hasEnded, whyNot } from '../points.ts'
import { refFits, refText, type Ref } from '../refs.ts'
import { bySource, parseSource, sourceFits, type LogItem, type LogOptions } from './items.ts'
import {
  logSubject,
  readLogMessage,
  relayed,
  relaySeqSince,
  spoolOf,
  type LogMessage,
} from './remote-spool.ts'
import { BACKLOG_BYTES, sourceReader, type SourceReader } from './source.ts'

/**
 * Live bytes that wait for a slow reader. Beyond it nothing is listened to any more, until the spools were
 * read to where little is added in the meantime: a reader that lags asks for what it can take, and is never
 * pushed until the server drops its connection.
 */
const LIVE_BYTES_MAX = 8 * 1024 * 1024
/** How often a follower looks for the end when no event says so. */
const LOOK_AGAIN_MS = 2000
/** After the end, a node that does not answer is waited for this long; then what it has is named as a gap. */
const SILENT_END_MS = 10_000

type News = { what: 'log'; message: LogMessage } | { what: 'look' } | { what: 'linked' }

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
  const { follow = false, raw = false, signal, onTrouble } = options
  const accepts =
    options.grep === undefined || raw || options.chunks === true ? () => true : matcherOf(options.grep)
  const spool = spoolOf(messenger, signal)
  const readers = new Map<string, SourceReader>()
  const finished = new Set<string>()
  const news = asyncQueue<News>()
  let live: Subscription | null = null
  /** more was there than was read, when last looked at */
  let isShort = false
  let liveBytes = 0
  /** `raw` reads one source of one fork: the first that fits */
  let pinned: { forkId: string; source: string } | null = null
  /** sources that are new to us begin at byte 0, but with `since` at their first chunk */
  let fromStart = options.since === undefined
  let now: RunStatus | null = null
  /** of one worker its own status is enough, of one rank those of its role */
  const [index, ...others] = options.rank === undefined ? (ref.indices ?? []) : []
  const target =
    ref.role === undefined
      ? { run: ref.run }
      : { run: ref.run, role: ref.role, ...(index !== undefined && others.length === 0 && { index }) }

  const status = (): Promise<RunStatus> => readStatus({ messenger, user }, target, { signal })
  const forksOf = (now: RunStatus): ForkParts[] =>
    now.workers
      .filter((worker) => refFits(ref, worker) && hasRun(worker, options.attempt))
      .map((worker) => ({
        run: ref.run,
        role: worker.role,
        index: worker.index,
        attempt: options.attempt ?? worker.attempt,
      }))
      .filter((fork) => pinned === null || pinned.forkId === idOf(fork))
  const wants = (forkId: string, source: string): boolean =>
    pinned === null ? sourceFits(source, ref, options) : pinned.forkId === forkId && pinned.source === source
  const readerOf = (fork: ForkParts, source: string): SourceReader => {
    const key = `${idOf(fork)} ${source}`
    let reader = readers.get(key)
    if (reader === undefined)
      readers.set(
        key,
        (reader = sourceReader(messenger, spool, fork, source, options, accepts, fromStart ? 0 : null)),
      )
    return reader
  }
  const asked = (message: LogMessage): boolean =>
    refFits(ref, message.fork) &&
    (options.attempt === undefined || options.attempt === message.fork.attempt) &&
    wants(message.forkId, message.source)

  /** Read a fork to where its node says that it ends now. @returns false when the node does not answer */
  async function* complete(fork: ForkParts): AsyncGenerator<LogItem, boolean> {
    const sizes = await spool.sizes(fork)
    if (sizes === null) return false
    for (const [source, { size, generation, shipped = size }] of inOrder(sizes.sources)) {
      if (!wants(idOf(fork), source)) continue
      const reader = readerOf(fork, source)
      if (reader.next === null && !sizes.final) continue
      // a node that has much to ship is not asked for it besides: it comes
      const comes = follow && !sizes.final && size - shipped >= BACKLOG_BYTES
      if (!(yield* reader.fill(comes ? shipped : size, generation, follow))) return false
      isShort ||= comes && reader.next! < size
      if (sizes.final) yield* reader.rest()
    }
    // just prepared: a spool without files has no source that is not final
    if (sizes.final && (Object.keys(sizes.sources).length > 0 || hasExited(now!, fork)))
      finished.add(idOf(fork))
    return true
  }

  const listen = (): void => {
    live = messenger.bus.subscribe(
      logSubject(messenger.fleet, {
        run: ref.run,
        ...(ref.role !== undefined && { role: ref.role }),
        ...(ref.indices?.length === 1 && { index: ref.indices[0]! }),
      }),
      (message) => {
        const log = readLogMessage(messenger.fleet, message)
        if (live === null || log === null || !asked(log)) return
        if (liveBytes > LIVE_BYTES_MAX) return deafen()
        liveBytes += log.bytes.length
        news.push({ what: 'log', message: log })
      },
    )
  }
  const deafen = (): void => {
    live?.unsubscribe()
    live = null
  }
  /** Where the readers are, bytes of all sources. */
  const position = (): number => [...readers.values()].reduce((sum, reader) => sum + (reader.next ?? 0), 0)
  async function* completeAll(forks: ForkParts[]): AsyncGenerator<LogItem> {
    isShort = false
    for (const fork of forks) if (!finished.has(idOf(fork))) yield* complete(fork)
  }
  /** Read what is there, and listen again when that was little. */
  async function* catchUp(forks: ForkParts[]): AsyncGenerator<LogItem> {
    const before = position()
    yield* completeAll(forks)
    if (position() - before > BACKLOG_BYTES) return
    listen()
    yield* completeAll(forks)
  }

  if (follow) listen()
  const events = follow
    ? messenger.bus.subscribe(eventSubject(messenger.fleet, ref.run), () => news.push({ what: 'look' }))
    : null
  const offLink = follow ? messenger.bus.onLink((up) => void (up && news.push({ what: 'linked' }))) : null

  try {
    let seen = (now = await status())
    checkAsked(seen, ref, options, follow)
    while (raw && pinned === null) {
      pinned = await pinSource(seen)
      if (pinned !== null) break
      if (!follow || hasEnded(seen, ref)) return
      onTrouble?.(whyNot(seen, 'running'))
      await news.take(signal, LOOK_AGAIN_MS)
      if (signal?.aborted) return
      seen = now = await status()
    }
    yield* past(forksOf(seen))
    if (!follow) return

    let endedAt: number | null = null
    let lookedAt = -Infinity
    for (let look = true; !signal?.aborted;) {
      if (live === null && news.size === 0) {
        yield* catchUp(forksOf(seen))
        look ||= performance.now() - lookedAt >= LOOK_AGAIN_MS
        if (!look) continue
      }
      // what was told meanwhile is one look, and chunks that wait are given out first
      if (!look || (news.size > 0 && performance.now() - lookedAt < LOOK_AGAIN_MS)) {
        const item = await news.take(signal, LOOK_AGAIN_MS)
        if (item?.what === 'log') {
          liveBytes -= item.message.bytes.length
          yield* readerOf(item.message.fork, item.message.source).feed(item.message, true)
          continue
        }
        if (item?.what === 'linked') yield* completeAll(forksOf(seen))
        look = true
        continue
      }
      look = false
      lookedAt = performance.now()
      seen = now = await status().catch((error: unknown) => {
        const fault = toFault(error)
        if (!fault.retryable) throw fault
        onTrouble?.(fault.message)
        return seen
      })
      const over = isOver(seen)
      const forks = forksOf(seen)
      if (!over && forks.length === 0) onTrouble?.(whyNot(seen, 'running'))
      yield* completeAll(over || isShort ? forks : forks.filter((fork) => hasExited(seen, fork)))
      if (!over) continue
      if (forks.every((fork) => finished.has(idOf(fork)) || isRead(fork))) break
      endedAt ??= performance.now()
      if (performance.now() - endedAt < SILENT_END_MS) continue
      yield* nameSilent(forks)
      break
    }
    for (const reader of readers.values()) yield* reader.rest()
  } finally {
    deafen()
    events?.unsubscribe()
    offLink?.()
  }

  async function pinSource(now: RunStatus): Promise<{ forkId: string; source: string } | null> {
    const found: { forkId: string; source: string }[] = []
    for (const fork of forksOf(now)) {
      const sizes = await spool.sizes(fork)
      const names = sizes === null ? await relayedSources(fork) : Object.keys(sizes.sources)
      for (const source of names.toSorted(bySource))
        if (sourceFits(source, ref, options)) found.push({ forkId: idOf(fork), source })
    }
    if (found.length > 1) throw manySources(found)
    return found[0] ?? null
  }
  async function relayedSources(fork: ForkParts): Promise<string[]> {
    const names = new Set<string>()
    for await (const message of relayed(messenger, logSubject(messenger.fleet, fork)))
      names.add(message.source)
    return [...names]
  }

  async function* past(forks: ForkParts[]): AsyncGenerator<LogItem> {
    // of one source the spool alone is enough, but when something was written only the relay knows
    if ((pinned === null || options.since !== undefined) && options.tail === undefined) yield* replay(forks)
    for (const fork of forks) {
      if (options.tail !== undefined) yield* tail(fork, options.tail)
      else if (!(yield* complete(fork))) yield* pinned === null ? [] : replay([fork])
      // a line without its end may still be written on
      if (!follow)
        for (const reader of readers.values()) if (reader.forkId === idOf(fork)) yield* reader.rest()
    }
    if (!follow) yield* nameSilent(forks)
    fromStart = true
  }

  /** What the relay has, in the order of time. Without it the spools are read one by one. */
  async function* replay(forks: ForkParts[]): AsyncGenerator<LogItem> {
    const ids = new Set(forks.map(idOf))
    if (ids.size === 0) return
    try {
      let seq = 1
      if (options.since !== undefined) {
        const found = await relaySeqSince(messenger, options.since)
        seq = found.seq
        fromStart = !found.complete
      }
      for await (const message of relayed(
        messenger,
        logSubject(messenger.fleet, forks.length === 1 ? forks[0]! : { run: ref.run }),
        seq,
      )) {
        if (!ids.has(message.forkId) || !asked(message)) continue
        const reader = readerOf(message.fork, message.source)
        yield* reader.feed(message, false)
        if (message.record?.kind === 'final') reader.end = message.record.bytes
      }
    } catch (error) {
      if (!toFault(error).retryable) throw error
    }
  }

  async function* tail(fork: ForkParts, lines: number): AsyncGenerator<LogItem> {
    const sizes = await spool.sizes(fork)
    if (sizes === null) return yield* lastLines(replay([fork]), lines)
    for (const [source, { generation }] of inOrder(sizes.sources)) {
      if (!wants(idOf(fork), source)) continue
      const begin = await spool.read(fork, source, { tailLines: lines })
      if (begin.what === 'bytes') readerOf(fork, source).seek(begin.offset, generation)
    }
    yield* complete(fork)
  }

  /** Its node is silent, but the relay has it to the end. */
  function isRead(fork: ForkParts): boolean {
    const own = [...readers.values()].filter((reader) => reader.forkId === idOf(fork))
    return own.length > 0 && own.every((reader) => reader.end !== null && (reader.next ?? 0) >= reader.end)
  }

  /** Forks whose node did not answer, and that the relay does not know to the end either. */
  async function* nameSilent(forks: ForkParts[]): AsyncGenerator<LogItem> {
    for (const fork of forks) {
      if (finished.has(idOf(fork)) || !spool.isSilent(fork)) continue
      // what a follower left out to ask its node for it
      if (follow) yield* replay([fork])
      const own = [...readers.values()].filter((reader) => reader.forkId === idOf(fork))
      if (own.length === 0)
        for (const source of ['stdout', 'stderr'])
          if (wants(idOf(fork), source)) own.push(readerOf(fork, source))
      for (const reader of own)
        if (reader.end === null || (reader.next ?? 0) < reader.end)
          yield* reader.gap(reader.end, 'no node answers for it')
    }
  }

  /** Nothing is added any more: the run has ended, or what was asked for has and will not be tried again. */
  function isOver(now: RunStatus): boolean {
    if (pinned !== null) return isTerminal(now.state) || hasExited(now, parseForkId(pinned.forkId)!)
    return hasEnded(now, ref) && forksOf(now).every((fork) => isTerminal(now.state) || hasExited(now, fork))
  }
}

function idOf({ run, role, index, attempt }: ForkParts): string {
  return forkIdOf(run, role, index, attempt)
}
function hasRun(worker: WorkerStatus, attempt: number | undefined): boolean {
  return attempt === undefined
    ? worker.startedAt !== null || worker.state === 'running'
    : attempt > 0 && attempt <= worker.attempt
}
function hasExited(now: RunStatus, fork: ForkParts): boolean {
  const worker = now.workers.find((w) => w.role === fork.role && w.index === fork.index)
  return worker === undefined || worker.attempt > fork.attempt || worker.state === 'exited'
}

function inOrder<T>(sources: Record<string, T>): [string, T][] {
  return Object.entries(sources).toSorted(([a], [b]) => bySource(a, b))
}

/** Nothing to read is an answer only where something could have been. */
function checkAsked(now: RunStatus, ref: Ref, { attempt, rank, source }: LogOptions, follow: boolean): void {
  checkRef(now, ref)
  const name = source === undefined ? null : parseSource(source)
  if (source !== undefined && name === null)
    throw new Fault('USAGE', `'${source}' is no source`, {
      hint: 'write stdout, stderr, or of a rank r3-stdout, r3-stderr',
    })
  const asked = rank ?? name?.rank ?? null
  const roles = now.roles.filter(({ role }) => ref.role === undefined || ref.role === role)
  if (asked !== null && !roles.some(({ kind }) => kind === 'torchrun'))
    throw new Fault(
      'WORKER_NOT_FOUND',
      `there is no rank ${asked} in ${refText(ref)}: no torchrun role is in it`,
    )
  if (asked !== null)
    for (const { role, kind } of roles)
      if (kind === 'torchrun' && roles.length === 1) checkRef(now, { ...ref, role, ranks: [asked] })
  if (attempt === undefined) return
  const latest = Math.max(
    0,
    ...now.workers.filter((worker) => refFits(ref, worker)).map((worker) => worker.attempt),
  )
  if (attempt < 1 || (attempt > latest && !follow))
    throw new Fault('WORKER_NOT_FOUND', `${refText(ref)} has no attempt ${attempt}`, {
      hint: latest === 0 ? 'it has not started yet' : `the latest is ${latest}`,
    })
}

function manySources(found: readonly { forkId: string; source: string }[]): Fault {
  const names = found.map(({ forkId, source }) => {
    const fork = parseForkId(forkId)!
    return `${fork.role}/${fork.index} ${source}`
  })
  return new Fault(
    'USAGE',
    `--raw gives the bytes of one source, and these fit: ${names.slice(0, 12).join(', ')}${names.length > 12 ? ', …' : ''}`,
    {
      hint: 'choose one by RUN/role/INDEX or RUN/role:RANK and --stream stdout|stderr (or --source NAME)',
      data: { sources: names },
    },
  )
}

/** The last lines of each source, where only the whole can be read. */
async function* lastLines(items: AsyncGenerator<LogItem>, count: number): AsyncGenerator<LogItem> {
  const kept = new Map<string, LogItem[]>()
  for await (const item of items) {
    const own = kept.get(`${item.forkId} ${item.source}`) ?? []
    own.push(item)
    if (own.length > count) own.shift()
    kept.set(`${item.forkId} ${item.source}`, own)
  }
  for (const own of kept.values()) yield* own
}
