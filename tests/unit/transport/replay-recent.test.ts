import { beforeEach, expect, test } from 'vitest'
import { replayRecent, type RecentReplay } from '../../../src/transport/replay-recent.ts'
import { memoryServer, type MemoryServer } from '../../support/memory-bus/memory-bus.ts'
import type { MemoryConnection } from '../../support/memory-bus/connection.ts'
import { messengerOn } from '../../../src/transport/messenger.ts'
import { ensureStreams } from '../../../src/transport/streams.ts'
import { encode } from '../../../src/protocol/codec.ts'
import { subjectOf } from '../../../src/protocol/subjects.ts'
import { HEADERS, MSGPACK, streamOf } from '../../../src/protocol/table.ts'
import { manualClock, type ManualClock } from '../../support/manual-clock.ts'

let clock: ManualClock
let server: MemoryServer
let bus: MemoryConnection
let watcher: MemoryConnection
let kept: RecentReplay
let heard: string[]

async function made(): Promise<void> {
  const making = ensureStreams(watcher, 'main')
  await clock.advance(10)
  await making
}
function tell(id: string): Promise<void> {
  return kept.messenger.emit('event.node', { node: 'n0', what: 'joined' }, {
    id,
    at: 1,
    what: 'joined',
    node: 'n0',
    incarnation: '01ARZ3NDEKTSV4RRFFQ69G5FAV',
    reason: null,
  } as never)
}
async function told(...ids: string[]): Promise<void> {
  for (const id of ids) {
    const telling = tell(id)
    await clock.advance(5)
    await telling
  }
}
async function stored(): Promise<string[]> {
  const reading = watcher.getMessages(streamOf('main', 'EVENT'), { seq: 1, count: 100 })
  await clock.advance(5)
  return (await reading).map(
    (message) => (JSON.parse(Buffer.from(message.body).toString()) as { id: string }).id,
  )
}
/** what a coordinator writes first */
async function led(storeId: string): Promise<void> {
  const writing = watcher.append(
    subjectOf('main', 'state', {}),
    encode({ epoch: { storeId, n: 1 } }, 'msgpack'),
    { headers: { [HEADERS.contentType]: MSGPACK } },
  )
  await clock.advance(5)
  await writing
}
async function relink(): Promise<void> {
  bus.setLink(false)
  bus.setLink(true)
  await clock.advance(1000)
}

beforeEach(async () => {
  clock = manualClock()
  server = memoryServer(clock)
  bus = server.connect({ name: 'n0' })
  watcher = server.connect({ name: 'watcher' })
  await made()
  heard = []
  messengerOn(watcher, 'main').listen('event.node', {}, ({ body }) => void heard.push(body.id))
  kept = replayRecent(messengerOn(bus, 'main'), clock)
})

test('a server that forgot what it had acknowledged is told again, in order, before anything new', async () => {
  await told('a', 'b', 'c')
  server.resetStore()
  await made()
  bus.setLink(false)
  bus.setLink(true)
  const telling = tell('d')
  await clock.advance(1000)
  await telling
  expect(await stored()).toEqual(['a', 'b', 'c', 'd'])
})

test('what is still there is not told twice, also not live', async () => {
  await told('a', 'b')
  await relink()
  expect(heard).toEqual(['a', 'b'])
})

test('only the last moments are kept', async () => {
  await told('a')
  await clock.advance(5000)
  await told('b')
  server.resetStore()
  await made()
  await relink()
  expect(await stored()).toEqual(['b'])
})

test('streams that come late are waited for', async () => {
  await told('a')
  server.resetStore()
  await relink()
  await made()
  await clock.advance(1000)
  expect(await stored()).toEqual(['a'])
})

test('the history of another store is not told to a new one', async () => {
  await led('store-1')
  await told('a')
  server.resetStore()
  await relink()
  await made()
  await led('store-2')
  await clock.advance(1000)
  await told('b')
  expect(await stored()).toEqual(['b'])
})

test('who has stopped tells nothing any more', async () => {
  await told('a')
  server.resetStore()
  await made()
  kept.stop()
  await relink()
  expect(await stored()).toEqual([])
})
