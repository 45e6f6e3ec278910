import { expect, test } from 'vitest'
import { publisherOn } from '../../../../src/actors/coordinator/publisher.ts'
import type { Publication } from '../../../../src/core/coordinator/messages.ts'
import { Fault } from '../../../../src/protocol/faults.ts'

function event(run: string, what: string): Publication {
  return { row: 'event.run', params: { run, what }, body: { id: `${run}.${what}`, run, what } } as never
}

test.each([
  ['a full disk', new Fault('FAILED', 'no space left on device'), 'told'],
  ['a bus that is away', new Fault('CONN', 'away'), 'told'],
  ['a permission that comes late', new Fault('PERMISSION', 'not yet'), 'told'],
  ['a body that does not fit its row', new Fault('REQUEST_INVALID', 'no'), 'given up'],
  ['a fault of ours', new TypeError('undefined'), 'given up'],
])(
  '%s: the event is not lost, or given up and said; the next one of its run follows',
  async (_, error, end) => {
    const sent: string[] = []
    const said: unknown[] = []
    let refusals = 2
    const publisher = publisherOn({
      messenger: {
        emit: async (_row: unknown, _params: unknown, body: { id: string }) => {
          if (body.id === 'r.ended' && refusals-- > 0) throw error
          sent.push(body.id)
        },
      } as never,
      after: (_ms, fn) => queueMicrotask(fn),
      log: (fields) => void said.push(fields),
    })
    publisher.publish(event('r', 'ended'))
    publisher.publish(event('r', 'later'))
    await new Promise<void>((resolve) => publisher.whenTold('r.later', resolve))
    expect(sent).toEqual(end === 'told' ? ['r.ended', 'r.later'] : ['r.later'])
    expect(said).toHaveLength(end === 'told' ? 0 : 1)
  },
)
