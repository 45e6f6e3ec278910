/**
 * Who leads: the lease, its renewal, takeover, deposal.
 */
import { expect, test } from 'vitest'
import { Fault } from '../../../../src/protocol/faults.ts'
import { candidate, drainOp, newShared } from '../../../support/candidates.ts'
import { manualClock } from '../../../support/manual-clock.ts'

test('the log is empty: the first one leads at once, and makes the store’s id', async () => {
  const [shared, clock] = [newShared(), manualClock()]
  const a = candidate(shared, clock, 'A')
  await clock.settle()
  expect(a.seen.term?.epoch).toEqual({ storeId: 'A'.padEnd(26, '0'), n: 1 })
})

test('it renews by an entry each half second, where nothing else was written', async () => {
  const [shared, clock] = [newShared(), manualClock()]
  candidate(shared, clock, 'A')
  await clock.advance(10_000)
  const renewals = shared.entries.filter(({ kind }) => kind === 'renew').length
  expect(renewals).toBeGreaterThanOrEqual(17)
  expect(renewals).toBeLessThanOrEqual(21)
})

test('the leader is silent: a standby takes over after lease and margin on its own clock, at the next epoch', async () => {
  const [shared, clock] = [newShared(), manualClock()]
  const a = candidate(shared, clock, 'A')
  await clock.settle()
  const b = candidate(shared, clock, 'B')
  await clock.advance(5000)
  expect(b.seen.term).toBe(null)
  a.handle.mode = 'hold'
  await clock.advance(2400)
  expect(b.seen.term).toBe(null)
  await clock.advance(800)
  expect(b.seen.term?.epoch).toEqual({ storeId: 'A'.padEnd(26, '0'), n: 2 })
})

test('an acknowledgement comes late: the lease counts from when the entry was sent', async () => {
  const [shared, clock] = [newShared(), manualClock()]
  const a = candidate(shared, clock, 'A')
  await clock.settle()
  await clock.advance(400)
  a.handle.mode = 'hold'
  const done = a.seen.term!.persist([drainOp('n0')])
  const sentAt = clock.now()
  await clock.advance(1900)
  a.handle.release()
  a.handle.mode = 'hold'
  await clock.settle()
  await done
  expect(a.seen.term!.leased()).toBe(true)
  await clock.advance(sentAt + 2000 - clock.now())
  expect(a.seen.term!.leased()).toBe(false)
})

test('an entry is sent again and its first try had landed: the lease counts from the first try', async () => {
  const [shared, clock] = [newShared(), manualClock()]
  const a = candidate(shared, clock, 'A')
  await clock.settle()
  await clock.advance(300)
  a.handle.mode = 'landed'
  const done = a.seen.term!.persist([drainOp('n0')]).then(() => void (a.handle.mode = 'hold'))
  await clock.advance(1700)
  a.handle.mode = 'ok'
  await clock.advance(250)
  await done
  expect(a.seen.term!.leased()).toBe(true)
  await clock.advance(100)
  expect(a.seen.term!.leased()).toBe(false)
})

test('the lease runs out and comes back, with nobody else there: it may act again', async () => {
  const [shared, clock] = [newShared(), manualClock()]
  const a = candidate(shared, clock, 'A')
  await clock.settle()
  a.handle.mode = 'lost'
  await clock.advance(3000)
  expect(a.seen.term!.leased()).toBe(false)
  a.handle.mode = 'ok'
  await clock.advance(1500)
  expect(a.seen.term!.leased()).toBe(true)
  expect(a.seen.leaseBack).toBe(1)
  expect(a.seen.deposed).toBe(0)
})

test('somebody else wrote: deposed, its writes are refused, and it stands by', async () => {
  const [shared, clock] = [newShared(), manualClock()]
  const a = candidate(shared, clock, 'A')
  await clock.settle()
  const b = candidate(shared, clock, 'B')
  await clock.settle()
  const term = a.seen.term!
  a.handle.mode = 'hold'
  const late = term.persist([drainOp('n0')]).then(
    () => 'stood',
    () => 'refused',
  )
  await clock.advance(4000)
  expect(b.seen.term).not.toBe(null)
  a.handle.release()
  a.handle.mode = 'ok'
  await clock.settle()
  expect(await late).toBe('refused')
  expect(term.leased()).toBe(false)
  expect(a.seen.deposed).toBe(1)
  expect(shared.entries.some(({ ops }) => ops.length > 0)).toBe(false)
  await clock.advance(10_000)
  expect(a.seen.term).toBe(null)
  expect(b.seen.term).not.toBe(null)
})

test('it resigns: the standby need not wait', async () => {
  const [shared, clock] = [newShared(), manualClock()]
  const a = candidate(shared, clock, 'A')
  await clock.settle()
  const b = candidate(shared, clock, 'B')
  await clock.advance(1000)
  const gone = a.leadership.resign()
  await clock.advance(300)
  expect(b.seen.term?.epoch.n).toBe(2)
  await clock.advance(2000)
  await gone
})

test('nothing settles for three leases: it stands down, and takes over at once when the last entry is still its own', async () => {
  const [shared, clock] = [newShared(), manualClock()]
  const a = candidate(shared, clock, 'A')
  await clock.settle()
  await clock.advance(1000)
  a.handle.mode = 'lost'
  await clock.advance(8000)
  expect(a.seen.deposed).toBe(1)
  a.handle.mode = 'ok'
  await clock.advance(500)
  expect(a.seen.term?.epoch.n).toBe(2)
})

test('the store is lost under a leader that had made it: it makes another one, with another id', async () => {
  const [shared, clock] = [newShared(), manualClock()]
  const a = candidate(shared, clock, 'A')
  await clock.settle()
  const first = a.seen.term!.epoch.storeId
  shared.entries.length = 0
  await clock.advance(5000)
  expect(a.seen.deposed).toBe(1)
  expect(a.seen.term!.epoch).toEqual({ storeId: `${first}-2`, n: 1 })
})

test('what is written is what the next one folds', async () => {
  const [shared, clock] = [newShared(), manualClock()]
  const a = candidate(shared, clock, 'A')
  await clock.settle()
  await a.seen.term!.persist([drainOp('n0'), drainOp('n1')])
  await a.seen.term!.persist([drainOp('n0', false)])
  a.handle.mode = 'hold'
  const b = candidate(shared, clock, 'B')
  await clock.advance(4000)
  expect([...b.seen.term!.durable.drains]).toEqual(['n1'])
})

test('the log is of another format: nobody leads over it, and what to do is said once', async () => {
  const [shared, clock] = [newShared(), manualClock()]
  const a = candidate(shared, clock, 'A')
  a.handle.log.read = () =>
    Promise.reject(new Fault('FAILED', 'format 9', { hint: 'start the other version' }))
  await clock.advance(20_000)
  expect(a.seen.term).toBe(null)
  expect(shared.entries).toEqual([])
  expect(a.seen.said.filter(({ hint }) => hint === 'start the other version')).toHaveLength(1)
})
