/**
 * Ships one log source: file → tail → chunks on the bus, acknowledged, a few in flight; records where bytes
 * are missing or begin anew. Owns a source's marks while it is shipped. What it may take of memory and rate
 * is handed in; which sources there are is log-shipper.ts's.
 *
 * A record stands where it belongs in the order: it leaves when all before it is acknowledged, and what
 * follows waits for it.
 */
import { logHeaders, recordHeaders, type LogRecord } from '../../protocol/log-records.ts'
import type { LogChunk, LogStore, LogTail, SourceMarks } from '../../process/log-store.ts'
import type { Clock } from '../../system/clock.ts'
import type { Bus } from '../../transport/bus.ts'
import { pausesOn, type Pauses } from '../pauses.ts'
import { deliver } from './deliver.ts'
import type { LogSettings } from './log-settings.ts'
import type { ByteSemaphore } from './byte-semaphore.ts'
import type { Throttle } from './throttle.ts'

export interface SourceShipper {
  readonly marks: SourceMarks
  /** there may be more to read */
  more(): void
  /** nothing writes any more: ship to the end and say so. Resolves when that is acknowledged */
  finish(): Promise<void>
  /** Free, and if need be give up, the bytes above the spool's cap. */
  cap(size: number): Promise<void>
  /** the link is back */
  wake(): void
  stop(): Promise<void>
}

const READ_AGAIN_MS = 2000
const READ_RETRIES_MAX = 3
/** Nothing tells of writes to a file that was removed. */
const HELD_POLL_MS = 200

interface SourceOptions {
  bus: Bus
  subject: string
  store: LogStore
  forkId: string
  source: string
  from: SourceMarks
  semaphore: ByteSemaphore
  throttle: Throttle
  settings: LogSettings
  clock: Clock
  onChange(): void
  log(fields: Record<string, unknown>): void
}

interface Source extends SourceOptions {
  readonly marks: SourceMarks
  readonly tail: LogTail
  /** Where the next byte is read. */
  readAt: number
  /** Chunks that were sent, in order, up to the oldest without an acknowledgement. */
  readonly inFlight: { to: number; acked: boolean }[]
  /** Records that wait until all before them is acknowledged. */
  readonly records: LogRecord[]
  /** The worker's rate holds the source back. */
  limited: boolean
  stopped: boolean
  finishing: boolean
  /** There was more to read since the last look. */
  wanted: boolean
  pumping: Promise<void> | null
  /** The use of the file before, done or not: bytes must not be freed while they are read. */
  reading: Promise<unknown>
  /** They wait for an acknowledgement. */
  onAck: (() => void)[]
  readonly pauses: Pauses
}

export function startSourceShipper(options: SourceOptions): SourceShipper {
  const { store, forkId, source, settings, clock } = options
  const marks: SourceMarks = { ...options.from, lost: [...options.from.lost] }
  const readAt = Math.max(marks.shipped, marks.floor)
  const s: Source = {
    ...options,
    marks,
    tail: store.tail(forkId, source, {
      generation: marks.generation,
      offset: readAt,
      chunkBytesMax: settings.chunkBytesMax,
    }),
    readAt,
    inFlight: [],
    records: [],
    limited: false,
    stopped: false,
    finishing: false,
    wanted: false,
    pumping: null,
    reading: Promise.resolve(),
    onAck: [],
    pauses: pausesOn(clock),
  }
  return {
    marks,
    more: () => more(s),
    finish: () => finish(s),
    cap: (size) => alone(s, () => cap(s, size)),
    wake: () => wake(s),
    async stop() {
      s.stopped = true
      wake(s)
      await s.reading
      await s.tail.close()
    },
  }
}

function wake(s: Source): void {
  s.pauses.wake()
  tellAcked(s)
}

function tellAcked(s: Source): void {
  const woken = s.onAck
  s.onAck = []
  for (const go of woken) go()
}

/** One at a time. */
function alone<T>(s: Source, work: () => Promise<T>): Promise<T> {
  const result = s.reading.then(work)
  s.reading = result.catch(() => undefined)
  return result
}

/** Resolves when fewer than so many chunks are in flight. */
async function acknowledged(s: Source, below: number): Promise<void> {
  while (!s.stopped && s.inFlight.length >= below) await new Promise<void>((resolve) => s.onAck.push(resolve))
}

async function sendChunk(s: Source, { generation, offset, bytes }: LogChunk): Promise<void> {
  const entry = { to: offset + bytes.length, acked: false }
  s.inFlight.push(entry)
  const arrived = await deliver(s, bytes, logHeaders({ forkId: s.forkId, generation, offset }))
  s.semaphore.give(bytes.length)
  if (!arrived) return
  entry.acked = true
  while (s.inFlight[0]?.acked) s.marks.shipped = s.inFlight.shift()!.to
  s.onChange()
  tellAcked(s)
}

async function sendRecords(s: Source): Promise<void> {
  while (!s.stopped && s.records.length > 0) {
    await acknowledged(s, 1)
    await sendRecord(s, s.records.shift()!)
  }
}

function sendRecord(s: Source, record: LogRecord): Promise<boolean> {
  return deliver(s, new Uint8Array(0), recordHeaders(s.forkId, record))
}

function lose(s: Source, from: number, to: number, why: string): void {
  const { marks, records } = s
  if (to <= from) return
  const last = marks.lost.at(-1)
  if (last?.[1] === from) last[1] = to
  else marks.lost.push([from, to])
  const waiting = records.at(-1)
  if (waiting?.kind === 'lost' && waiting.to === from) waiting.to = to
  else records.push({ kind: 'lost', generation: marks.generation, from, to, why })
  s.readAt = to
  if (s.inFlight.length === 0) marks.shipped = to
  s.onChange()
}

/** The program removed its file before we held it: how much it wrote there nobody knows. */
function loseRest({ marks, records, readAt }: Source): void {
  marks.lost.push([readAt, readAt])
  records.push({
    kind: 'lost',
    generation: marks.generation,
    from: readAt,
    to: readAt,
    why: 'its file was removed',
  })
}

async function readChunk(s: Source): Promise<LogChunk | null> {
  const { store, forkId, source } = s
  for (let tries = 1; ; tries++) {
    try {
      return await alone(s, async () => {
        if (s.stopped) return null
        const chunk = await s.tail.read()
        if (chunk !== null && chunk.generation === s.marks.generation)
          s.readAt = chunk.offset + chunk.bytes.length
        return chunk
      })
    } catch (error) {
      s.log({ msg: 'a log cannot be read', forkId, source, error: String(error) })
      if (s.finishing && tries >= READ_RETRIES_MAX) {
        const end = (await store.sizes(forkId))[source] ?? s.readAt
        lose(s, s.readAt, end, `cannot be read: ${(error as Error).message}`)
        return null
      }
      await s.pauses.pause(READ_AGAIN_MS)
    }
  }
}

async function beginGeneration(s: Source, chunk: LogChunk): Promise<void> {
  await acknowledged(s, 1)
  s.records.push({ kind: 'truncated', generation: chunk.generation, bytes: s.readAt })
  Object.assign(s.marks, { generation: chunk.generation, shipped: 0, floor: 0, lost: [] })
  s.readAt = chunk.offset + chunk.bytes.length
  await sendRecords(s)
}

async function keepRate(s: Source, { bytes, offset }: LogChunk): Promise<void> {
  const { waitMs, limited } = s.throttle(bytes.length)
  if (limited && !s.limited)
    s.records.push({
      kind: 'limited',
      generation: s.marks.generation,
      offset,
      bytesPerSecond: s.settings.workerBytesPerSecond!,
    })
  s.limited = limited
  await sendRecords(s)
  if (waitMs > 0) await new Promise<void>((resolve) => s.clock.after(waitMs, resolve))
}

function more(s: Source): void {
  s.wanted = true
  if (!s.stopped && !s.finishing) void startPump(s)
}

function startPump(s: Source): Promise<void> {
  s.pumping ??= pump(s).finally(() => {
    s.pumping = null
  })
  return s.pumping
}

async function pump(s: Source): Promise<void> {
  const { settings } = s
  while (!s.stopped) {
    await acknowledged(s, settings.sourceChunksMax)
    s.wanted = false
    await sendRecords(s)
    const chunk = await readChunk(s)
    if (chunk === null) {
      if (s.wanted || s.records.length > 0) continue
      if (s.tail.fileIs() === 'held' && !s.finishing) s.clock.after(HELD_POLL_MS, () => more(s))
      return
    }
    if (chunk.generation !== s.marks.generation) await beginGeneration(s, chunk)
    await keepRate(s, chunk)
    await s.semaphore.take(chunk.bytes.length)
    void sendChunk(s, chunk)
    if (chunk.bytes.length < settings.chunkBytesMin && !s.finishing) await s.pauses.pause(settings.batchMs)
  }
}

async function finish(s: Source): Promise<void> {
  const { marks } = s
  s.finishing = true
  wake(s)
  await s.pumping
  // bytes may have come after the last read of the pump that just ended
  await startPump(s)
  if (s.tail.fileIs() === 'absent') loseRest(s)
  await sendRecords(s)
  await acknowledged(s, 1)
  await sendRecord(s, {
    kind: 'final',
    generation: marks.generation,
    bytes: s.readAt,
    lost: marks.lost,
  })
  if (s.stopped) return
  marks.shipped = s.readAt
  marks.final = true
  await s.tail.close()
}

async function cap(s: Source, size: number): Promise<void> {
  const { marks, settings } = s
  if (s.stopped || marks.final || size - marks.floor <= settings.spoolBytesMax) return
  const floor = size - Math.floor((settings.spoolBytesMax * 15) / 16)
  if (s.readAt < floor) {
    lose(s, s.readAt, floor, 'over the cap of the spool')
    s.tail.seek(floor)
  }
  marks.floor = floor
  await s.store.giveUp(s.forkId, s.source, floor)
  s.onChange()
}
