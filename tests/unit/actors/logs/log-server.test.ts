import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startLogServer, type LogServer } from '../../../../src/actors/logs/log-server.ts'
import { fileLogStore } from '../../../../src/process/file-log-store.ts'
import { NO_MARKS, type LogStore } from '../../../../src/process/log-store.ts'
import { systemClock } from '../../../../src/system/clock.ts'
import { memoryServer } from '../../../support/memory-bus/memory-bus.ts'
import { messengerOn, type Messenger } from '../../../../src/transport/messenger.ts'

const WORKER = { run: 'run', role: 'trainer', index: 0 }
let dir: string
let store: LogStore
let client: Messenger
let servers: LogServer[]
let connect: (name: string) => Messenger
function dirOf(forkId: string): string {
  return join(dir, forkId)
}
function write(attempt: number, text: string): string {
  const forkId = `run.trainer.0.${attempt}`
  mkdirSync(dirOf(forkId), { recursive: true })
  writeFileSync(join(dirOf(forkId), 'stdout'), text)
  return forkId
}
function serve(node: string, ...forkIds: string[]): LogServer {
  const server = startLogServer({ messenger: connect(node), node, store })
  for (const forkId of forkIds) server.hold(forkId)
  servers.push(server)
  return server
}
async function read(body: Parameters<typeof client.ask<'worker.log'>>[2]): Promise<string> {
  return Buffer.from((await client.ask('worker.log', WORKER, body)).bytes).toString()
}

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'troupe-log-server-'))
  store = fileLogStore(dirOf)
  const bus = memoryServer(systemClock)
  connect = (name) => messengerOn(bus.connect({ name }), 'main')
  client = connect('client')
  servers = []
})
afterEach(async () => {
  for (const server of servers) server.stop()
  await rm(dir, { recursive: true, force: true })
})

test('the latest attempt, or the one asked for; sizes alone without a source', async () => {
  serve('n0', write(1, 'first'), write(2, 'second'))
  expect(await read({ source: 'stdout' })).toBe('second')
  expect(await read({ source: 'stdout', attempt: 1 })).toBe('first')
  expect(await client.ask('worker.log', WORKER, {})).toMatchObject({
    attempt: 2,
    source: null,
    sources: { stdout: { size: 6, floor: 0, generation: 0 } },
    final: false,
  })
})

test('a node that holds only another attempt is silent: the one that has it answers', async () => {
  serve('n0', write(1, 'first'))
  serve('n1', write(2, 'second'))
  expect(await read({ source: 'stdout', attempt: 1 })).toBe('first')
  expect(await read({ source: 'stdout', attempt: 2 })).toBe('second')
})

test('ranges, last lines, and the end', async () => {
  const forkId = write(1, 'a\nbb\nccc')
  serve('n0', forkId)
  expect(await read({ source: 'stdout', offset: 2, bytesMax: 3 })).toBe('bb\n')
  expect(await read({ source: 'stdout', tailLines: 1 })).toBe('ccc')
  await store.mark(forkId, { stdout: { ...NO_MARKS, shipped: 8, final: true } })
  expect((await client.ask('worker.log', WORKER, { source: 'stdout', offset: 2 })).final).toBe(true)
  expect((await client.ask('worker.log', WORKER, { source: 'stdout', offset: 2, bytesMax: 1 })).final).toBe(
    false,
  )
})

test('bytes below the floor are GONE, and it is said where they begin', async () => {
  const forkId = write(1, 'x'.repeat(100))
  serve('n0', forkId)
  await store.giveUp(forkId, 'stdout', 60)
  await expect(read({ source: 'stdout', offset: 0 })).rejects.toMatchObject({
    code: 'GONE',
    data: { floor: 60 },
  })
  expect((await client.ask('worker.log', WORKER, { source: 'stdout' })).offset).toBe(60)
})

test('a source that is not there is not found; names that would leave the directory are none', async () => {
  serve('n0', write(1, 'x'))
  await expect(read({ source: 'stderr' })).rejects.toMatchObject({ code: 'WORKER_NOT_FOUND' })
  await expect(read({ source: '../x' })).rejects.toMatchObject({ code: 'WORKER_NOT_FOUND' })
})

test('a worker that nobody holds, or whose logs were swept, is answered by nobody at once', async () => {
  await expect(read({ source: 'stdout' })).rejects.toMatchObject({ code: 'CONN' })
  const server = serve('n0', write(1, 'x'), write(2, 'y'))
  server.keepOnly(new Set(['run.trainer.0.1']))
  expect(await read({ source: 'stdout' })).toBe('x')
  server.keepOnly(new Set())
  await expect(read({ source: 'stdout' })).rejects.toMatchObject({ code: 'CONN' })
})

test('marks that a crash left half written count as none, and stay beside the sources unseen', async () => {
  const forkId = write(1, 'x')
  appendFileSync(join(dirOf(forkId), '.marks'), '{"stdout":')
  expect(await store.marks(forkId)).toEqual({})
  expect(await store.sizes(forkId)).toEqual({ stdout: 1 })
  expect(await store.retained()).toEqual([forkId])
})
