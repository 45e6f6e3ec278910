/**
 * Events on a real server that is killed right after it acknowledged them: none is missing when it is back,
 * and the stream has each once.
 */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { streamOf } from '../../src/protocol/table.ts'
import { systemClock } from '../../src/system/clock.ts'
import { replayRecent } from '../../src/transport/replay-recent.ts'
import { messengerOn } from '../../src/transport/messenger.ts'
import { ensureStreams } from '../../src/transport/streams.ts'
import { startTestServer, until, type TestServer } from '../support/test-server.ts'

const ROUNDS = 10
const EVENTS = 100
const INCARNATION = '01ARZ3NDEKTSV4RRFFQ69G5FAV'

let server: TestServer
beforeEach(async () => {
  server = await startTestServer()
})
afterEach(() => server.close())

test('what was acknowledged when the server was killed is in the stream afterwards, once and in order [FC-5]', async () => {
  const bus = await server.connect('n0')
  await ensureStreams(bus, 'main')
  const kept = replayRecent(messengerOn(bus, 'main'), systemClock)
  const told: string[] = []
  const tell = async (id: string): Promise<void> => {
    await kept.messenger.emit(
      'event.node',
      { node: 'n0', what: 'joined' },
      { id, at: 1, what: 'joined', node: 'n0', incarnation: INCARNATION, reason: null },
    )
    told.push(id)
  }
  for (let round = 0; round < ROUNDS; round++) {
    for (let i = 0; i < EVENTS; i++) await tell(`e${round}-${i}`)
    await server.kill()
    await server.start()
    await until('the link is back', () => bus.connected)
    await tell(`e${round}-last`)
  }
  kept.stop()
  const ids: string[] = []
  for (let seq = 1; ;) {
    const batch = await bus.getMessages(streamOf('main', 'EVENT'), { seq, count: 200 })
    if (batch.length === 0) break
    for (const message of batch)
      ids.push((JSON.parse(Buffer.from(message.body).toString()) as { id: string }).id)
    seq = batch.at(-1)!.seq + 1
  }
  expect(ids).toEqual(told)
}, 120_000)
