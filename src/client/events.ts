/**
 * Events of runs, workers and nodes: the past by Direct Get, then live, each once, none missing across a
 * reconnect. Owns the joining of the two; what an event means is the asker's.
 */
import { Fault, toFault } from '../protocol/faults.ts'
import { parseSubject, rootOf } from '../protocol/subjects.ts'
import { streamOf, TABLE, type BodyOf, type RowName, type RowsOf } from '../protocol/table.ts'
import type { Message } from '../transport/bus.ts'
import type { Messenger } from '../transport/messenger.ts'
import { asyncQueue } from './async-queue.ts'
import { sleep } from './timing.ts'

export type RunEvent = BodyOf<'event.run'>
export type WorkerEvent = BodyOf<'event.worker'>
export type LostEvent = BodyOf<'event.lost'>
export type NodeEvent = BodyOf<'event.node'>
/**
 * One fact, as it was told on the bus. Told apart by `what`, and by the fields `role` (workers) and `state`
 * (runs).
 */
export type TroupeEvent = BodyOf<RowsOf<'event'>>

/** From the narrow rows to the wide: the subject of an event of a worker fits every event. */
const ROWS = (Object.keys(TABLE) as RowName[])
  .filter((name): name is RowsOf<'event'> => TABLE[name].kind === 'event')
  .toSorted((a, b) => placesOf(a) - placesOf(b))
function placesOf(name: RowsOf<'event'>): number {
  return TABLE[name].subject.split('{').length
}

/** @returns the event, or null when the message is none */
export function readEvent(messenger: Messenger, message: Message): TroupeEvent | null {
  for (const row of ROWS)
    if (parseSubject(messenger.fleet, row, message.subject) !== null)
      return (messenger.read(row, message)?.body as TroupeEvent | undefined) ?? null
  return null
}

/** Subjects of one run's events, or of everybody's. @param own  of the run alone, none of its workers */
export function eventSubject(fleet: string, run?: string, own = false): string {
  return `${rootOf(fleet)}.event.${run ?? '*'}.${own ? '_._' : '*.*'}.*.*`
}

export interface WatchOptions {
  signal?: AbortSignal
  /** begin with what was told before; default true */
  past?: boolean
  /** go on with what is told from now on; default true */
  live?: boolean
  /** events of the run itself, and none of its workers; default false */
  own?: boolean
}

const BATCH = 256
/** Ids are remembered for this many events; the past is read again before they could run out. */
const SEEN_MAX = 65_536
const REREAD_EVERY = SEEN_MAX / 4
/**
 * A server that was killed has forgotten its newest events; they are told again under the numbers that these
 * had.
 */
const RETOLD_MAX = 1024
const RETRY_MS = 1000
const PAST_TRIES = 5

/** One watch as its parts share it. */
interface Watch {
  readonly messenger: Messenger
  readonly subject: string
  readonly live: boolean
  readonly signal: AbortSignal | undefined
  readonly queue: ReturnType<typeof asyncQueue<Message | 'reread' | 'relinked'>>
  /** ids that were given out */
  readonly seen: Set<string>
  /** of the stream: where to read on */
  nextSeq: number
  /** live events since the stream was read to its end */
  sinceRead: number
  timer: NodeJS.Timeout | undefined
}

/**
 * Subscribe first, then read the past, then go on live. After a lost link the stream is read again from where
 * it was read to. The copy that was read may be behind what was told before we listened: it is read on once
 * more a moment later.
 *
 * @throws {Fault} when the past cannot be read and `live` is false
 */
export async function* watchEvents(
  messenger: Messenger,
  run: string | undefined,
  options: WatchOptions = {},
): AsyncGenerator<TroupeEvent, void, undefined> {
  const { signal, past = true, live = true, own = false } = options
  const subject = eventSubject(messenger.fleet, run, own)
  const queue: Watch['queue'] = asyncQueue()
  const watch: Watch = {
    messenger,
    subject,
    live,
    signal,
    queue,
    seen: new Set(),
    nextSeq: 1,
    sinceRead: 0,
    timer: undefined,
  }
  const subscription = live ? messenger.bus.subscribe(subject, (message) => queue.push(message)) : null
  const offLink = live ? messenger.bus.onLink((up) => void (up && queue.push('relinked'))) : null
  try {
    if (!past) watch.nextSeq = await endOf(messenger, subject)
    const first = watch.nextSeq
    yield* readPast(watch)
    if (live) yield* goOn(watch, first)
  } finally {
    clearTimeout(watch.timer)
    subscription?.unsubscribe()
    offLink?.()
  }
}

/** The event of a message; null when it is none, or was given out. */
function fresh({ messenger, seen }: Watch, message: Message): TroupeEvent | null {
  const event = readEvent(messenger, message)
  if (event === null || seen.has(event.id)) return null
  seen.add(event.id)
  if (seen.size > SEEN_MAX) seen.delete(seen.values().next().value!)
  return event
}

/** The stream, from where it was read to. */
async function* readOn(watch: Watch): AsyncGenerator<TroupeEvent> {
  const { messenger, subject } = watch
  const stream = streamOf(messenger.fleet, 'EVENT')
  for (;;) {
    const batch = await messenger.bus.getMessages(stream, { seq: watch.nextSeq, subject, count: BATCH })
    for (const message of batch) {
      watch.nextSeq = message.seq + 1
      const event = fresh(watch, message)
      if (event !== null) yield event
    }
    if (batch.length === 0) return void (watch.sinceRead = 0)
  }
}

async function* readPast(watch: Watch): AsyncGenerator<TroupeEvent> {
  for (let tries = 1; ; tries++) {
    try {
      yield* readOn(watch)
      if (watch.live) rereadLater(watch)
      return
    } catch (error) {
      const fault = toFault(error)
      if (isNoStream(fault)) return
      if (watch.live) return rereadLater(watch)
      if (tries === PAST_TRIES || !fault.retryable) throw fault
      await sleep(RETRY_MS / 5, watch.signal)
    }
  }
}

/** @param first  nothing before it is wanted, also when events are told again */
async function* goOn(watch: Watch, first: number): AsyncGenerator<TroupeEvent> {
  while (!watch.signal?.aborted) {
    const item = await watch.queue.take(watch.signal)
    if (item === null) break
    if (item === 'relinked') watch.nextSeq = Math.max(first, watch.nextSeq - RETOLD_MAX)
    else if (item !== 'reread') {
      const event = fresh(watch, item)
      if (event !== null) yield event
      if (++watch.sinceRead < REREAD_EVERY) continue
    }
    try {
      yield* readOn(watch)
      if (item === 'relinked') rereadLater(watch)
    } catch (error) {
      watch.sinceRead = 0
      if (watch.messenger.bus.connected && !isNoStream(toFault(error))) rereadLater(watch)
    }
  }
}

function rereadLater(watch: Watch): void {
  clearTimeout(watch.timer)
  watch.timer = setTimeout(() => watch.queue.push('reread'), RETRY_MS)
}

/** The fleet's coordinator has made no streams yet: there is no past. */
function isNoStream(fault: Fault): boolean {
  return fault.code === 'CONN' && ['no-stream', 'no-responders'].includes(String(fault.data['reason']))
}

async function endOf({ bus, fleet }: Messenger, subject: string): Promise<number> {
  const last = await bus.getLast(streamOf(fleet, 'EVENT'), subject).catch(() => null)
  return (last?.seq ?? 0) + 1
}
