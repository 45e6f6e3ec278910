/**
 * Ships one log source: file → tail → chunks on the bus, acknowledged, a few in flight; records where bytes
 * are missing or begin anew. Owns a source's marks while it is shipped. What it may take of memory and rate
 * is handed in; which sources there are is log-shipper.ts's.
 *
 * A record stands where it belongs in the order: it leaves when all before it is acknowledged, and what
 * follows waits for it.
 */
import { isFault } from '../../protocol/faults.ts'
import { logHeaders, recordHeaders, type LogRecord } from '../../protocol/log-records.ts'
import type { LogChunk, LogStore, SourceMarks } from '../../process/log-store.ts'
import type { Clock } from '../../system/clock.ts'
import type { Bus } from '../../transport/bus.ts'
import type { LogSettings } from './log-settings.ts'
import type { ByteSemaphore } from './byte-semaphore.ts'

export interface SourceShipper {
  readonly marks: SourceMarks
  /** there may be more to read */
  more(): void
  /** nothing writes any more: ship to the end and say so. Resolves when that is acknowledged */
  finish(): Promise<void>
  /** free, and if need be give up, what is over the spool's cap */
  cap(size: number): Promise<void>
  /** the link is back */
  wake(): void
  stop(): Promise<void>
}

/** Tells how long bytes must wait for the worker's rate. */
export type Throttle = (bytes: number) => { waitMs: number; limited: boolean }

const RETRY_MS = [100, 2000] as const
const APPEND_TIMEOUT_MS = 5000
const READ_RETRIES_MAX = 3

export function startSourceShipper(options: {
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
}): SourceShipper {
  const { bus, subject, store, forkId, source, semaphore, throttle, settings, clock, onChange, log } = options
  const marks: SourceMarks = { ...options.from, lost: [...options.from.lost] }
  let readAt = Math.max(marks.shipped, marks.floor)
  const tail = store.tail(forkId, source, {
    generation: marks.generation,
    offset: readAt,
    chunkBytesMax: settings.chunkBytesMax,
  })
  const inFlight: { to: number; acked: boolean }[] = []
  let records: LogRecord[] = []
  let limited = false
  let stopped = false
  let finishing = false
  let wanted = false
  let pumping: Promise<void> | null = null
  let reading: Promise<unknown> = Promise.resolve()
  let onAck: (() => void)[] = []
  let sleepers: (() => void)[] = []

  const wake = (): void => {
    const woken = [...sleepers, ...onAck]
    sleepers = []
    onAck = []
    for (const go of woken) go()
  }
  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      sleepers.push(resolve)
      clock.after(ms, () => {
        sleepers = sleepers.filter((one) => one !== resolve)
        resolve()
      })
    })
  /** One at a time: bytes must not be freed while they are read. */
  const alone = <T>(work: () => Promise<T>): Promise<T> => {
    const result = reading.then(work)
    reading = result.catch(() => undefined)
    return result
  }

  /** @returns false when we were stopped before it was acknowledged */
  const deliver = async (body: Uint8Array, headers: Record<string, string>): Promise<boolean> => {
    for (let wait: number = RETRY_MS[0]; !stopped; wait = Math.min(wait * 2, RETRY_MS[1])) {
      try {
        await bus.append(subject, body, { headers, timeoutMs: APPEND_TIMEOUT_MS })
        return true
      } catch (error) {
        if (!isFault(error, 'CONN') && !isFault(error, 'TIMEOUT'))
          log({ msg: 'the bus does not take a log chunk', subject, error: String(error) })
      }
      await pause(wait)
    }
    return false
  }

  const acknowledged = async (below: number): Promise<void> => {
    while (!stopped && inFlight.length >= below) await new Promise<void>((resolve) => onAck.push(resolve))
  }

  const sendChunk = async ({ generation, offset, bytes }: LogChunk): Promise<void> => {
    const entry = { to: offset + bytes.length, acked: false }
    inFlight.push(entry)
    const arrived = await deliver(bytes, logHeaders({ forkId, generation, offset }))
    semaphore.give(bytes.length)
    if (!arrived) return
    entry.acked = true
    while (inFlight[0]?.acked) marks.shipped = inFlight.shift()!.to
    onChange()
    const woken = onAck
    onAck = []
    for (const go of woken) go()
  }

  const sendRecords = async (): Promise<void> => {
    while (!stopped && records.length > 0) {
      await acknowledged(1)
      const record = records.shift()!
      await deliver(new Uint8Array(0), recordHeaders(forkId, record))
    }
  }

  const lose = (from: number, to: number, why: string): void => {
    if (to <= from) return
    const last = marks.lost.at(-1)
    if (last?.[1] === from) last[1] = to
    else marks.lost.push([from, to])
    const waiting = records.at(-1)
    if (waiting?.kind === 'lost' && waiting.to === from) waiting.to = to
    else records.push({ kind: 'lost', generation: marks.generation, from, to, why })
    readAt = to
    if (inFlight.length === 0) marks.shipped = to
    onChange()
  }

  const readChunk = async (): Promise<LogChunk | null> => {
    for (let tries = 1; ; tries++) {
      try {
        return await alone(async () => {
          if (stopped) return null
          const chunk = await tail.read()
          if (chunk !== null && chunk.generation === marks.generation)
            readAt = chunk.offset + chunk.bytes.length
          return chunk
        })
      } catch (error) {
        log({ msg: 'a log cannot be read', forkId, source, error: String(error) })
        if (finishing && tries >= READ_RETRIES_MAX) {
          lose(
            readAt,
            (await store.sizes(forkId))[source] ?? readAt,
            `cannot be read: ${(error as Error).message}`,
          )
          return null
        }
        await pause(RETRY_MS[1])
      }
    }
  }

  const beginGeneration = async (chunk: LogChunk): Promise<void> => {
    await acknowledged(1)
    records.push({ kind: 'truncated', generation: chunk.generation, bytes: readAt })
    Object.assign(marks, { generation: chunk.generation, shipped: 0, floor: 0, lost: [] })
    readAt = chunk.offset + chunk.bytes.length
    await sendRecords()
  }

  const keepRate = async (chunk: LogChunk): Promise<void> => {
    const { waitMs, limited: now } = throttle(chunk.bytes.length)
    if (now && !limited)
      records.push({
        kind: 'limited',
        generation: marks.generation,
        offset: chunk.offset,
        bytesPerSecond: settings.workerBytesPerSecond!,
      })
    limited = now
    await sendRecords()
    if (waitMs > 0) await new Promise<void>((resolve) => clock.after(waitMs, resolve))
  }

  const pump = async (): Promise<void> => {
    while (!stopped) {
      await acknowledged(settings.sourceChunksMax)
      wanted = false
      await sendRecords()
      const chunk = await readChunk()
      if (chunk === null) {
        if (wanted || records.length > 0) continue
        return
      }
      if (chunk.generation !== marks.generation) await beginGeneration(chunk)
      await keepRate(chunk)
      await semaphore.take(chunk.bytes.length)
      void sendChunk(chunk)
      if (chunk.bytes.length < settings.chunkBytesMin && !finishing) await pause(settings.batchMs)
    }
  }
  const start = (): Promise<void> => {
    pumping ??= pump().finally(() => {
      pumping = null
    })
    return pumping
  }

  return {
    marks,
    more() {
      wanted = true
      if (!stopped && !finishing) void start()
    },
    async finish() {
      finishing = true
      wake()
      await pumping
      // what came after the last read of the pump that just ended
      await start()
      await acknowledged(1)
      await deliver(
        new Uint8Array(0),
        recordHeaders(forkId, {
          kind: 'final',
          generation: marks.generation,
          bytes: readAt,
          lost: marks.lost,
        }),
      )
      if (stopped) return
      marks.shipped = readAt
      marks.final = true
      await tail.close()
    },
    cap: (size) =>
      alone(async () => {
        if (stopped || marks.final || size - marks.floor <= settings.spoolBytesMax) return
        const floor = size - Math.floor((settings.spoolBytesMax * 15) / 16)
        if (readAt < floor) {
          lose(readAt, floor, 'over the cap of the spool')
          tail.seek(floor)
        }
        marks.floor = floor
        await store.giveUp(forkId, source, floor)
        onChange()
      }),
    wake,
    async stop() {
      stopped = true
      wake()
      await reading
      await tail.close()
    },
  }
}
