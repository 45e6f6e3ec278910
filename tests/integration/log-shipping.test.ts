/**
 * Log shipping on a real server: real files that real programs write, and a reader of its own that puts them
 * together again.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  appendFileSync,
} from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { LOG_DEFAULTS, type LogSettings } from '../../src/actors/logs/log-settings.ts'
import { startLogShipper, type LogShipper } from '../../src/actors/logs/log-shipper.ts'
import { fileLogStore } from '../../src/process/file-log-store.ts'
import type { LogOffsets } from '../../src/protocol/shapes.ts'
import { systemClock } from '../../src/system/clock.ts'
import type { Bus } from '../../src/transport/bus.ts'
import { ensureStreams } from '../../src/transport/streams.ts'
import { assemble, readLogs } from '../support/log-reader.ts'
import { startTestServer, until, type TestServer } from '../support/test-server.ts'

const MIB = 1024 * 1024
const python = process.env['TROUPE_PYTHON'] ?? 'python3'
const flood = join(import.meta.dirname, '../support/programs/flood.py')
function sha(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

let server: TestServer
let dir: string
let bus: Bus
let reader: ReturnType<typeof readLogs>
const finals = new Map<string, LogOffsets>()
const shippers: LogShipper[] = []

beforeEach(async () => {
  server = await startTestServer()
  dir = await mkdtemp(join(tmpdir(), 'troupe-logs-'))
  bus = await server.connect('reader')
  await ensureStreams(bus, 'main')
  reader = readLogs(bus, 'main')
  await bus.flush()
  finals.clear()
})
afterEach(async () => {
  await Promise.all(shippers.splice(0).map((shipper) => shipper.stop({ keepMarks: false })))
  await server.close()
  await rm(dir, { recursive: true, force: true })
})

function dirOf(forkId: string): string {
  return join(dir, forkId)
}
function fileOf(forkId: string, source = 'stdout'): string {
  return join(dirOf(forkId), source)
}
function makeFork(index: number): string {
  const forkId = `run.trainer.${index}.1`
  mkdirSync(dirOf(forkId), { recursive: true })
  // as a shim does, before the program begins
  for (const source of ['stdout', 'stderr']) writeFileSync(fileOf(forkId, source), '')
  return forkId
}
async function startShipper(settings: Partial<LogSettings> = {}): Promise<LogShipper> {
  const shipper = startLogShipper({
    bus: await server.connect('n0-logs'),
    fleet: 'main',
    node: 'n0',
    store: fileLogStore(dirOf),
    clock: systemClock,
    settings: { ...LOG_DEFAULTS, ...settings },
    onFinal: (forkId, offsets) => void finals.set(forkId, offsets),
    log: () => undefined,
  })
  shippers.push(shipper)
  return shipper
}
/** as a shim does: the file is opened for appending, the program's own */
async function write(forkId: string, command: string[], source = 'stdout'): Promise<void> {
  const file = openSync(fileOf(forkId, source), 'a')
  const child = spawn(command[0]!, command.slice(1), { stdio: ['ignore', file, file] })
  closeSync(file)
  await once(child, 'exit')
}
function seen(forkId: string, source = 'stdout') {
  return reader.sources.get(`${forkId} ${source}`)!
}

test('64 workers flood their logs and the server is killed in between: every byte arrives, or its gap has a name [FC-13 A-33]', async () => {
  const shipper = await startShipper()
  const forks = Array.from({ length: 64 }, (_, i) => makeFork(i))
  for (const forkId of forks) shipper.ship(forkId)
  const writing = (async () => {
    for (let i = 0; i < forks.length; i += 8)
      await Promise.all(
        forks
          .slice(i, i + 8)
          .map((forkId, k) => write(forkId, [python, flood, String(i + k), String(MIB / 4)])),
      )
  })()
  await until(
    'a third has arrived',
    () => [...reader.sources.values()].reduce((sum, source) => sum + source.bytes, 0) > 25 * MIB,
    60_000,
  )
  await server.kill()
  await server.start()
  await writing
  for (const forkId of forks) shipper.finish(forkId)
  await until('all logs are final', () => finals.size === forks.length, 60_000)
  await reader.fromStream()
  const store = fileLogStore(dirOf)
  for (const forkId of forks) {
    const file = readFileSync(fileOf(forkId))
    expect(finals.get(forkId)!['stdout']).toEqual({ bytes: file.length, lost: [] })
    const source = seen(forkId)
    expect(source.records).toEqual([{ kind: 'final', generation: 0, bytes: file.length, lost: [] }])
    // what the server had acknowledged and not yet on its disk when it was killed: a gap that the spool fills
    for (const [from, to] of assemble(source, file.length).gaps)
      source.chunks.set(from, Buffer.from(await store.read(forkId, 'stdout', from, to - from)))
    const { bytes, gaps } = assemble(source, file.length)
    expect(gaps).toEqual([])
    expect(sha(bytes)).toBe(sha(file))
  }
}, 120_000)

test('a program empties its own log: a new generation begins, and its reader is told [FC-13]', async () => {
  const shipper = await startShipper()
  const forkId = makeFork(0)
  shipper.ship(forkId)
  await write(forkId, ['/bin/sh', '-c', 'for i in 1 2 3 4 5; do echo first $i; done'], 'stderr')
  await until('the first lines arrived', () => (seen(forkId, 'stderr')?.bytes ?? 0) === 40)
  await write(forkId, ['/bin/sh', '-c', 'echo x > /dev/stderr; echo after >&2'], 'stderr')
  shipper.finish(forkId)
  await until('it is final', () => finals.size === 1 && reader.finals === 2)
  const source = seen(forkId, 'stderr')
  expect(source.records[0]).toEqual({ kind: 'truncated', generation: 1, bytes: 40 })
  expect(finals.get(forkId)!['stderr']).toEqual({ bytes: 8, lost: [], generation: 1 })
  expect(assemble(source, 8)).toEqual({ bytes: Buffer.from('x\nafter\n'), gaps: [] })
})

test('a new agent ships on from where the last one was acknowledged', async () => {
  const first = await startShipper({ markMs: 20 })
  const forkId = makeFork(0)
  writeFileSync(fileOf(forkId), 'a'.repeat(1000))
  first.ship(forkId)
  await until('it arrived', () => seen(forkId)?.bytes === 1000)
  await first.stop({ keepMarks: true })
  appendFileSync(fileOf(forkId), 'b'.repeat(500))
  const second = await startShipper()
  second.ship(forkId)
  second.finish(forkId)
  await until('it is final', () => finals.size === 1 && reader.finals === 2)
  expect([...seen(forkId).chunks.keys()]).toEqual([0, 1000])
  expect(assemble(seen(forkId), 1500).gaps).toEqual([])
})

test('a dead bus does not fill a disk: above its cap the oldest range is given up, freed and recorded [U-13]', async () => {
  const cap = 4 * MIB
  const shipper = await startShipper({ spoolBytesMax: cap, markMs: 20, windowBytesMax: 512 * 1024 })
  const forkId = makeFork(0)
  writeFileSync(fileOf(forkId), Buffer.alloc(1000, 'a'))
  shipper.ship(forkId)
  await until('it arrived', () => seen(forkId)?.bytes === 1000)
  await server.kill()
  for (let i = 0; i < 16; i++) {
    appendFileSync(fileOf(forkId), Buffer.alloc(MIB, i + 1))
    await until('caps were looked at', () => statSync(fileOf(forkId)).blocks * 512 <= cap + 2 * MIB, 5000)
  }
  await server.start()
  shipper.finish(forkId)
  await until('it is final', () => finals.size === 1, 20_000)
  await reader.fromStream()
  const size = 1000 + 16 * MIB
  const { bytes, lost } = finals.get(forkId)!['stdout']!
  expect(bytes).toBe(size)
  expect(lost.length).toBeGreaterThan(0)
  // one that was on its way when more was lost is followed by another
  const told = seen(forkId).records.filter((record) => record.kind === 'lost')
  expect(told.reduce((sum, { from, to }) => sum + to - from, 0)).toBe(
    lost.reduce((sum, [from, to]) => sum + to - from, 0),
  )
  const { bytes: read, gaps } = assemble(seen(forkId), size)
  expect(gaps).toEqual(lost)
  const file = readFileSync(fileOf(forkId))
  expect(sha(read.subarray(read.length - 3 * MIB))).toBe(sha(file.subarray(size - 3 * MIB)))
  const floor = (await fileLogStore(dirOf).marks(forkId))['stdout']!.floor
  expect(floor).toBeGreaterThan(size - cap)
  await expect(fileLogStore(dirOf).read(forkId, 'stdout', floor - 1, 10)).rejects.toMatchObject({
    code: 'GONE',
    data: { floor },
  })
})

test('a worker’s rate is kept, and said once', async () => {
  const shipper = await startShipper({ workerBytesPerSecond: 256 * 1024, chunkBytesMax: 64 * 1024 })
  const forkId = makeFork(0)
  writeFileSync(fileOf(forkId), Buffer.alloc(512 * 1024, 'a'))
  const before = performance.now()
  shipper.ship(forkId)
  shipper.finish(forkId)
  await until('it is final', () => finals.size === 1 && reader.finals === 2)
  expect(performance.now() - before).toBeGreaterThan(900)
  expect(seen(forkId).records.filter((record) => record.kind === 'limited')).toHaveLength(1)
  expect(assemble(seen(forkId), 512 * 1024).gaps).toEqual([])
})

test('a log that is emptied from outside while nobody reads it does not hold up the end', async () => {
  const shipper = await startShipper()
  const forkId = makeFork(0)
  writeFileSync(fileOf(forkId), 'gone before it was read')
  truncateSync(fileOf(forkId))
  shipper.finish(forkId)
  await until('it is final', () => finals.size === 1)
  expect(finals.get(forkId)!['stdout']).toEqual({ bytes: 0, lost: [] })
})

test('a program removes its log directory and writes on: what it wrote while it was held arrives, and what nobody held is told as lost', async () => {
  const [held, late] = [makeFork(0), makeFork(1)]
  const shipper = await startShipper({ markMs: 20 })
  const file = openSync(fileOf(held), 'a')
  shipper.ship(held)
  writeFileSync(file, 'one\n')
  await until('it arrived', () => seen(held)?.bytes === 4)
  for (const forkId of [held, late]) rmSync(dirOf(forkId), { recursive: true })
  writeFileSync(file, 'two\n')
  await until('the next arrived', () => seen(held)?.bytes === 8)
  writeFileSync(file, 'three\n')
  closeSync(file)
  shipper.ship(late)
  for (const forkId of [held, late]) shipper.finish(forkId)
  await until('both are final', () => finals.size === 2)
  expect(finals.get(held)!['stdout']).toEqual({ bytes: 14, lost: [] })
  expect(finals.get(late)!['stdout']).toEqual({ bytes: 0, lost: [[0, 0]] })
  await until('the record arrived', () => seen(late)?.records.length === 2)
  expect(seen(late).records[0]).toMatchObject({ kind: 'lost', from: 0, to: 0, why: 'its file was removed' })
  const store = fileLogStore(dirOf)
  expect((await store.marks(held))['stdout']).toMatchObject({ shipped: 14, final: true })
  await expect(store.read(held, 'stdout', 0, 10)).rejects.toMatchObject({ code: 'GONE', data: { floor: 14 } })
})
