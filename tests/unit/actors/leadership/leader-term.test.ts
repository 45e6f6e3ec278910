/** A leader's term: snapshots in slices, and entries that are larger than the server takes. */
import { expect, test } from 'vitest'
import { foldEntries } from '../../../../src/core/coordinator/fold.ts'
import { candidate, drainOp, keyOp, newShared } from '../../../support/candidates.ts'
import { manualClock } from '../../../support/manual-clock.ts'

test('many entries: a snapshot says everything again, and the log before it is dropped', async () => {
  const [shared, clock] = [newShared(), manualClock()]
  const a = candidate(shared, clock, 'A', { snapshotEntries: 5 })
  await clock.settle()
  for (let i = 0; i < 6; i++) await a.seen.term!.persist([drainOp(`n${i}`)])
  await clock.settle()
  const snapshot = shared.entries.find(({ kind }) => kind === 'snapshot')!
  expect(snapshot.part).toEqual([1, 1])
  expect(snapshot.ops.length).toBeGreaterThanOrEqual(4)
  expect(shared.purged).toBe(shared.entries.indexOf(snapshot))
})

test('a snapshot of several entries: changes are written between its parts, and the next leader folds them all', async () => {
  const [shared, clock] = [newShared(), manualClock()]
  const a = candidate(shared, clock, 'A', { snapshotEntries: 5 })
  await clock.settle()
  const long = 'x'.repeat(100_000)
  const term = a.seen.term!
  await term.persist(Array.from({ length: 30 }, (_, i) => keyOp(`k${i}`, long)))
  const changes = Array.from({ length: 10 }, (_, i) =>
    term.persist([keyOp(`k${i}`, 'new'), drainOp(`n${i}`)]),
  )
  await Promise.all(changes)
  await clock.settle()
  const kinds = shared.entries.map(({ kind, part }) => (kind === 'snapshot' ? part!.join('/') : kind))
  const first = kinds.indexOf('1/0')
  const last = kinds.findIndex((kind) => /^(\d+)\/\1$/.test(kind))
  expect(last - first).toBeGreaterThan(10)
  expect(kinds.slice(first, last)).toContain('change')
  expect(shared.purged).toBe(first)
  const folded = foldEntries(shared.entries.slice(first))
  expect([...folded.keys].map(([key, { hash }]) => [key, hash.length])).toEqual(
    [...term.durable.keys].map(([key, { hash }]) => [key, hash.length]),
  )
  expect(folded.drains.size).toBe(10)
})

test('an entry is too large for the server: it is cut; what cannot be cut is given back, nobody is deposed, and the rest stands', async () => {
  const [shared, clock] = [newShared(), manualClock()]
  const a = candidate(shared, clock, 'A')
  await clock.settle()
  shared.bytesMax = 1000
  const large = keyOp('large', 'x'.repeat(2000))
  const ops = [drainOp('n0'), keyOp('a', 'y'.repeat(500)), large, keyOp('b', 'z'.repeat(500)), drainOp('n1')]
  const refused = await a.seen.term!.persist(ops)
  expect(refused.map(({ op }) => op)).toEqual([large])
  expect(refused[0]!.fault).toMatchObject({ data: { reason: 'too-large', bytesMax: 1000 } })
  await clock.advance(10_000)
  expect(a.seen.deposed).toBe(0)
  expect(a.seen.term!.leased()).toBe(true)
  const folded = foldEntries(shared.entries)
  expect([[...folded.keys.keys()], [...folded.drains]]).toEqual([
    ['a', 'b'],
    ['n0', 'n1'],
  ])
  expect([...a.seen.term!.durable.keys.keys()]).toEqual(['a', 'b'])
})

test('only entries that are too large, again and again: the lease is renewed all the same', async () => {
  const [shared, clock] = [newShared(), manualClock()]
  const a = candidate(shared, clock, 'A')
  await clock.settle()
  shared.bytesMax = 1000
  for (let i = 0; i < 40; i++) {
    await a.seen.term!.persist([keyOp('large', 'x'.repeat(2000))])
    await clock.advance(100)
  }
  expect(a.seen.term!.leased()).toBe(true)
  expect(a.seen.leaseBack).toBe(0)
})
