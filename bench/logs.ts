/**
 * Log bytes per second of one agent, from the first byte on the bus to `logs-final`: shipped and
 * acknowledged, of one worker and of eight (`logs`); and byte for byte at a reader (`read`), to which a gap
 * is a failure. Beside: the same bytes published from memory by raw NATS, in chunks of the same size, as many
 * in flight, acknowledged by the same kind of stream.
 */
import { createHash } from 'node:crypto'
import { LOG_DEFAULTS } from '../src/actors/logs/log-settings.ts'
import { subjectOf } from '../src/protocol/subjects.ts'
import type { Bus } from '../src/transport/bus.ts'
import { ensureStreams } from '../src/transport/streams.ts'
import { flood, floodHash, MIB } from './flood.ts'
import { startFleet, type BenchFleet } from './fleet.ts'
import { rowOf, type Beside, type Bench, type Measurement, type Row } from './measure.ts'
import { startRawBus } from './raw-bus.ts'
import { figureOf } from './stats.ts'

const AIM_MIB = 100
const FLEET = 'main'
const { chunkBytesMax, sourceChunksMax, windowBytesMax } = LOG_DEFAULTS

export const logs: Measurement = {
  name: 'logs',
  async run(bench) {
    const bytes = (bench.quick ? 16 : 512) * MIB
    const times = bench.quick ? 1 : 3
    const one = { workers: 1, bytesEach: bytes, inFlight: sourceChunksMax }
    const eight = {
      workers: 8,
      bytesEach: bytes / 8,
      inFlight: Math.min(8 * sourceChunksMax, windowBytesMax / chunkBytesMax),
    }
    const rows: Row[] = []
    for (const { workers, bytesEach, inFlight } of [one, eight]) {
      const raw = await rawRates(bench, bytes, times, inFlight)
      const fleet = await startFleet(bench, 1)
      const shipped: number[] = []
      for (let i = 0; i < times; i++)
        shipped.push(await shippedRate(fleet, `logs-${workers}-${i}`, workers, bytesEach))
      await fleet.end()
      rows.push(
        withAim(
          rowOf({
            what: `logs of ${workers === 1 ? 'one worker' : `${workers} workers`}, ${bytes / MIB} MiB, shipped`,
            unit: 'MiB/s',
            figure: figureOf(shipped),
            beside: [raw],
          }),
        ),
      )
    }
    return rows
  },
}

export const read: Measurement = {
  name: 'read',
  async run(bench) {
    const bytes = (bench.quick ? 16 : 512) * MIB
    const times = bench.quick ? 1 : 3
    const raw = await rawRates(bench, bytes, times, sourceChunksMax)
    const fleet = await startFleet(bench, 1)
    const rates: number[] = []
    for (let i = 0; i < times; i++) rates.push(await readRate(fleet, `read-${i}`, bytes))
    await fleet.end()
    return [
      withAim(
        rowOf({
          what: `logs of one worker, ${bytes / MIB} MiB, followed by a reader, SHA-256 equal`,
          unit: 'MiB/s',
          figure: figureOf(rates),
          beside: [raw],
        }),
      ),
    ]
  },
}

function withAim(row: Row): Row {
  return { ...row, aim: { text: `≥ ${AIM_MIB} MiB/s`, met: row.figure.p50 >= AIM_MIB } }
}
function rateOf(bytes: number, ms: number): number {
  return (bytes / MIB / ms) * 1000
}

async function shippedRate(
  fleet: BenchFleet,
  name: string,
  workers: number,
  bytesEach: number,
): Promise<number> {
  const { firstBytesAt, final, ended } = await flood(fleet, name, workers, bytesEach)
  const [began, { at }] = [await firstBytesAt, await final]
  await ended
  return rateOf(workers * bytesEach, at - began)
}

async function readRate(fleet: BenchFleet, name: string, bytes: number): Promise<number> {
  const { run, ended } = await flood(fleet, name, 1, bytes)
  const hash = createHash('sha256')
  let [began, read] = [0, 0]
  for await (const item of fleet.troupe.logs(`${run}/main/0`, {
    raw: true,
    follow: true,
    stream: 'stdout',
  })) {
    if (item.kind !== 'chunk')
      throw new Error(
        `the reader of ${name} has no bytes from ${item.offset} on${item.kind === 'gap' ? ` to ${item.to}: ${item.why}` : ''}`,
      )
    if (read === 0) began = performance.now()
    hash.update(item.bytes)
    read += item.bytes.length
  }
  const ms = performance.now() - began
  await ended
  if (hash.digest('hex') !== floodHash(bytes))
    throw new Error(`the reader of ${name} got ${read} bytes, and not those that were written`)
  return rateOf(bytes, ms)
}

async function rawRates(bench: Bench, bytes: number, times: number, inFlight: number): Promise<Beside> {
  const raw = await startRawBus(bench)
  await ensureStreams(raw.bus, FLEET)
  const rates: number[] = []
  for (let i = 0; i < times; i++) {
    const began = performance.now()
    await publish(raw.bus, bytes / chunkBytesMax, inFlight)
    rates.push(rateOf(bytes, performance.now() - began))
  }
  await raw.end()
  return {
    what: `raw NATS, ${chunkBytesMax / 1024} KiB, ${inFlight} in flight`,
    unit: 'MiB/s',
    ...figureOf(rates),
  }
}

async function publish(bus: Bus, chunks: number, inFlight: number): Promise<void> {
  const subject = subjectOf(FLEET, 'log', {
    run: 'raw',
    role: 'main',
    index: 0,
    attempt: 1,
    source: 'stdout',
    node: 'n0',
  })
  const chunk = new Uint8Array(chunkBytesMax).fill(120)
  let left = chunks
  const lane = async (): Promise<void> => {
    while (left-- > 0) await bus.append(subject, chunk, { timeoutMs: 10_000 })
  }
  await Promise.all(Array.from({ length: inFlight }, lane))
}
