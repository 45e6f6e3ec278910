import { expect, test } from 'vitest'
import { Fault, type FaultCode } from '../../../src/protocol/faults.ts'
import { watchAppends } from '../../../src/transport/append-watch.ts'
import type { Bus } from '../../../src/transport/bus.ts'
import type { StateLog } from '../../../src/transport/state-log.ts'
import { manualClock } from '../../support/manual-clock.ts'

/** A log whose next calls end as they are told to: by a fault, or well. */
function watched() {
  const clock = manualClock()
  const link = { connected: true, listeners: [] as ((up: boolean) => void)[] }
  let fate: FaultCode | null = null
  const call = async (): Promise<never> => {
    if (fate !== null) throw new Fault(fate, 'as told')
    return [] as never
  }
  const changes: boolean[] = []
  const watch = watchAppends({ open: call, read: call, append: call } as unknown as StateLog, {
    bus: {
      get connected() {
        return link.connected
      },
      onLink: (listener: (up: boolean) => void) => void link.listeners.push(listener),
    } as unknown as Bus,
    clock,
    onChange: (mute) => changes.push(mute),
  })
  return {
    changes,
    link,
    async calls(what: 'append' | 'read', code: FaultCode | null, times: number, apartMs = 2000) {
      fate = code
      for (let i = 0; i < times; i++) {
        await watch.stateLog[what]({} as never).catch(() => {})
        await clock.advance(apartMs)
      }
    },
  }
}

test('an append is refused three times in a row: the log is mute, and no more when one is taken', async () => {
  const { calls, changes } = watched()
  await calls('append', 'CONN', 2)
  expect(changes).toEqual([])
  await calls('append', 'FAILED', 3)
  expect(changes).toEqual([true])
  await calls('append', null, 1)
  expect(changes).toEqual([true, false])
})

test('three refusals in a moment prove nothing: a server that was just started needs some time', async () => {
  const { calls, changes } = watched()
  await calls('append', 'CONN', 10, 200)
  expect(changes).toEqual([])
})

test('one that is taken in between begins the count anew, and so does a link that broke', async () => {
  const { calls, changes, link } = watched()
  await calls('append', 'TIMEOUT', 2)
  await calls('append', null, 1)
  await calls('append', 'TIMEOUT', 2)
  for (const listener of link.listeners) listener(false)
  await calls('append', 'TIMEOUT', 2)
  expect(changes).toEqual([])
})

test.each<[string, 'append' | 'read', FaultCode]>([
  ['another leader wrote', 'append', 'NOT_LEADER'],
  ['an entry is too large', 'append', 'REQUEST_INVALID'],
  ['what was read is of another version', 'read', 'FAILED'],
])('%s: the server is not to blame', async (_why, what, code) => {
  const { calls, changes } = watched()
  await calls(what, code, 6)
  expect(changes).toEqual([])
})

test('the link is down: nothing is counted, the server is not there', async () => {
  const { calls, changes, link } = watched()
  link.connected = false
  await calls('append', 'CONN', 6)
  expect(changes).toEqual([])
})
