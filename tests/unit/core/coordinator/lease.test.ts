/** Whose turn it is to lead: a table over what a standby saw, and when. */
import { expect, test } from 'vitest'
import { readTail, whoLeads, type LogView, type Tail } from '../../../../src/core/coordinator/lease.ts'

const OTHER: Tail = { kind: 'renew', writer: 'other', number: 7 }
const OWN: Tail = { kind: 'renew', writer: 'me', number: 3 }
const RESIGNED: Tail = { kind: 'resign', writer: 'other', number: 8 }

/** Lease and margin are 2,500 ms; the last sign of life was at 10,000. */
function view(more: Partial<LogView>): LogView {
  const fixed = { self: 'me', silenceMs: 2500, emptied: false, resigned: false, seenAt: 10_000 }
  return { ...fixed, read: 'before', tail: null, ...more }
}

const SOON = 12_499
const LATE = 12_500

const TABLE: [string, Partial<LogView>, number, 'wait' | 'read' | 'take'][] = [
  ['the log was never read', { read: 'no', tail: OTHER }, SOON, 'read'],
  ['somebody wrote a moment ago', { tail: OTHER }, SOON, 'wait'],
  [
    'nobody has written for lease and margin: the log is read before it is taken',
    { tail: OTHER },
    LATE,
    'read',
  ],
  ['it was read, and nobody has written', { read: 'fresh', tail: OTHER }, LATE, 'take'],
  ['it was read, and somebody wrote meanwhile', { read: 'fresh', tail: OTHER }, SOON, 'wait'],
  [
    'the last writer is heard to resign: the log is read at once',
    { tail: RESIGNED, resigned: true },
    SOON,
    'read',
  ],
  ['it was read to end with a resignation', { read: 'fresh', tail: RESIGNED }, SOON, 'take'],
  ['it was read to end with its own entry', { read: 'fresh', tail: OWN }, SOON, 'take'],
  ['its own entry is the last that was heard, and somebody may lead', { tail: OWN }, SOON, 'wait'],
  ['the log was always empty', { read: 'fresh' }, SOON, 'take'],
  ['the log was always empty, and is looked at again', {}, SOON, 'read'],
  [
    'the log became empty: its leader may act until its lease ends',
    { read: 'fresh', emptied: true },
    SOON,
    'wait',
  ],
  ['the log became empty, and a lease has passed', { read: 'fresh', emptied: true }, LATE, 'take'],
  ['the log became empty, and it is waited for', { emptied: true }, SOON, 'wait'],
]
for (const [situation, seen, now, turn] of TABLE)
  test(`${situation}: ${turn}`, () => expect(whoLeads(view(seen), now)).toBe(turn))

test('an entry that nobody told of is a sign of life; the same entry again is not', () => {
  const seen = view({ tail: OTHER })
  readTail(seen, OTHER, 20_000)
  expect(seen).toMatchObject({ seenAt: 10_000, read: 'fresh', resigned: false })
  readTail(seen, { ...OTHER, number: 8 }, 20_000)
  expect(seen).toMatchObject({ seenAt: 20_000, tail: { number: 8 } })
})

test('a log that becomes empty is a sign of life, once, and is remembered until it has entries', () => {
  const seen = view({ tail: OTHER })
  readTail(seen, null, 20_000)
  expect(seen).toMatchObject({ seenAt: 20_000, emptied: true, tail: null })
  readTail(seen, null, 30_000)
  expect(seen).toMatchObject({ seenAt: 20_000, emptied: true })
  readTail(seen, OTHER, 40_000)
  expect(seen).toMatchObject({ seenAt: 40_000, emptied: false })
})
