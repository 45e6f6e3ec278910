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

/** Subjects of one run's events, or of everybody's. */
export function eventSubject(fleet: string, run?: string): string {
  return `${rootOf(fleet)}.event.${run ?? '*'}.*.*.*.*`
}

export interface WatchOptions {
  signal?: AbortSignal
  /** begin with what was told before; default true */
  past?: boolean
  /** go on with what is told from now on; default true */
  live?: boolean
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

/**
 * Subscribe first, then read the past, then go on live. After a lost link the stream is read again from where
 * it was read to.
 *
 * @throws {Fault} when the past cannot be read and `live` is false
 */
export async function* watchEvents(
  messenger: Messenger,
  run: string | undefined,
  options: WatchOptions = {},
): AsyncGenerator<TroupeEvent, void, undefined> {
  const { signal, past = true, live = true } = options
  const { bus, fleet } = messenger
  const stream = streamOf(fleet, 'EVENT')
  const subject = eventSubject(fleet, run)
  const queue = asyncQueue<Message | 'reread' | 'relinked'>()
  const seen = new Set<string>()
  let nextSeq = 1
  let sinceRead = 0

  const subscription = live ? bus.subscribe(subject, (message) => queue.push(message)) : null
  const offLink = live ? bus.onLink((up) => void (up && queue.push('relinked'))) : null
  let timer: NodeJS.Timeout | undefined

  const fresh = (message: Message): TroupeEvent | null => {
    const event = readEvent(messenger, message)
    if (event === null || seen.has(event.id)) return null
    seen.add(event.id)
    if (seen.size > SEEN_MAX) seen.delete(seen.values().next().value!)
    return event
  }
  async function* readOn(): AsyncGenerator<TroupeEvent> {
    for (;;) {
      const batch = await bus.getMessages(stream, { seq: nextSeq, subject, count: BATCH })
      for (const message of batch) {
        nextSeq = message.seq + 1
        const event = fresh(message)
        if (event !== null) yield event
      }
      if (batch.length === 0) return void (sinceRead = 0)
    }
  }

  try {
    if (!past) nextSeq = await endOf(messenger, subject)
    const first = nextSeq
    for (let tries = 1; ; tries++) {
      try {
        yield* readOn()
        break
      } catch (error) {
        const fault = toFault(error)
        if (isNoStream(fault)) break
        if (live) {
          timer = setTimeout(() => queue.push('reread'), RETRY_MS)
          break
        }
        if (tries === PAST_TRIES || !fault.retryable) throw fault
        await sleep(RETRY_MS / 5, signal)
      }
    }
    while (live && !signal?.aborted) {
      const item = await queue.take(signal)
      if (item === null) break
      if (item === 'relinked') nextSeq = Math.max(first, nextSeq - RETOLD_MAX)
      else if (item !== 'reread') {
        const event = fresh(item)
        if (event !== null) yield event
        if (++sinceRead < REREAD_EVERY) continue
      }
      try {
        yield* readOn()
      } catch (error) {
        sinceRead = 0
        clearTimeout(timer)
        if (bus.connected && !isNoStream(toFault(error)))
          timer = setTimeout(() => queue.push('reread'), RETRY_MS)
      }
    }
  } finally {
    clearTimeout(timer)
    subscription?.unsubscribe()
    offLink?.()
  }
}

/** The fleet's coordinator has made no streams yet: there is no past. */
function isNoStream(fault: Fault): boolean {
  return fault.code === 'CONN' && ['no-stream', 'no-responders'].includes(String(fault.data['reason']))
}

async function endOf({ bus, fleet }: Messenger, subject: string): Promise<number> {
  const last = await bus.getLast(streamOf(fleet, 'EVENT'), subject).catch(() => null)
  return (last?.seq ?? 0) + 1
}
