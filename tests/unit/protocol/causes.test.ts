import { expect, test } from 'vitest'
import { byUser, Cause, causeText, isBy } from '../../../src/protocol/causes.ts'

const texts: [Cause, string][] = [
  [byUser('ada'), 'ada'],
  [{ by: 'deadline', clock: 'run' }, 'the run deadline'],
  [{ by: 'peer', worker: 'ppo-1/trainer/1' }, 'the failure of trainer/1'],
  [{ by: 'peer', worker: 'ppo-1/trainer/1', rank: 3 }, 'the failure of trainer:3'],
  [{ by: 'rank', worker: 'ppo-1/trainer/1', rank: 3 }, 'the failure of trainer:3'],
  [{ by: 'start', role: 'trainer' }, 'the failed start of role trainer'],
  [{ by: 'attempt' }, 'the end of its attempt'],
  [{ by: 'not-ready' }, 'its readiness timeout'],
  [{ by: 'fence' }, 'its fence (fenceAfter)'],
  [{ by: 'orphan' }, 'its agent, which heard of no coordinator'],
  [{ by: 'stop-when', role: 'trainer' }, 'stopWhen: trainer.done'],
  [{ by: 'done' }, 'the end of the run'],
  [{ by: 'node-lost', node: 'n0' }, 'the loss of node n0'],
  // nobody sends it before there is a backend that allocates
  [{ by: 'allocation', why: 'preempted' }, 'the end of its allocation (preempted)'],
]

test.each(texts)('%j is read as it was written, and is called "%s"', (cause, text) => {
  expect(Cause.parse(cause)).toEqual(cause)
  expect(causeText(cause)).toBe(text)
})

test('a cause of a later version is kept whole, and its text is its word', () => {
  const later = { by: 'quota', limit: 3, account: 'lab', hard: true, until: null }
  expect(Cause.parse(later)).toEqual(later)
  expect(causeText(Cause.parse(later))).toBe('quota')
  expect(isBy(Cause.parse(later), 'user')).toBe(false)
})

test('a word that a later version adds to a list is kept', () => {
  const later = { by: 'allocation', why: 'node-failed' }
  expect(causeText(Cause.parse(later))).toBe('the end of its allocation (node-failed)')
})

test.each([
  'user:ada',
  'fence',
  null,
  {},
  { by: 'user' },
  { by: 'user', name: 'a b' },
  { by: 'rank', worker: 'ppo-1/trainer/1' },
  { by: 'Quota!' },
  { by: 'quota', of: { deep: 1 } },
  { by: 'quota', text: 'x'.repeat(201) },
])('%j is no cause', (value) => {
  expect(Cause.safeParse(value).success).toBe(false)
})

test('a person is told from a peer, and from no cause at all', () => {
  expect(isBy(byUser('ada'), 'user')).toBe(true)
  expect(isBy({ by: 'done' }, 'user')).toBe(false)
  expect(isBy(null, 'user')).toBe(false)
  expect(isBy(undefined, 'user')).toBe(false)
})
