/** The typed layer over a bus: answers that do not fit into one message. */
import { expect, test } from 'vitest'
import { Fault } from '../../../src/protocol/faults.ts'
import { messengerOn } from '../../../src/transport/messenger.ts'
import { manualClock } from '../../support/manual-clock.ts'
import { memoryServer } from '../../support/memory-bus/memory-bus.ts'

const PAYLOAD_MAX = 2000

function pair() {
  const clock = manualClock()
  const server = memoryServer(clock, {}, PAYLOAD_MAX)
  const [asking, serving] = ['asking', 'serving'].map((name) => messengerOn(server.connect({ name }), 'f'))
  const ask = async (): Promise<unknown> => {
    const answer = asking!
      .ask('coordinator.explain', { user: 'ann' }, { run: 'r' })
      .catch((error: unknown) => error)
    await clock.advance(10)
    return answer
  }
  return { ask, serving: serving! }
}

test('an answer is larger than the server takes: the asker gets a fault that has both numbers, and the next answer', async () => {
  const { ask, serving } = pair()
  let bytes = 5000
  serving.serve('coordinator.explain', {}, (_, { reply }) =>
    reply({ lines: [{ subject: 'r', text: 'x'.repeat(bytes), next: null }] }),
  )
  expect(await ask()).toMatchObject({
    code: 'REPLY_TOO_LARGE',
    data: { bytes: expect.any(Number), bytesMax: PAYLOAD_MAX },
    message: expect.stringMatching(/50\d\d bytes; the server takes at most 2000/),
  })
  bytes = 10
  expect(await ask()).toMatchObject({ lines: [{ text: 'x'.repeat(10) }] })
})

test('a fault is larger than the server takes: the asker gets a smaller one, not silence', async () => {
  const { ask, serving } = pair()
  serving.serve('coordinator.explain', {}, (_, { fault }) =>
    fault(new Fault('FAILED', 'broken', { data: { all: 'x'.repeat(5000) } })),
  )
  expect(await ask()).toMatchObject({ code: 'REPLY_TOO_LARGE' })
})
