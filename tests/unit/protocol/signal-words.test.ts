import { expect, test } from 'vitest'
import { sentText, sentTexts } from '../../../src/protocol/signal-words.ts'

test.each([
  ['root', 'SIGUSR1 to its root, sent by ada'],
  ['ranks', 'SIGUSR1 to its ranks, sent by ada'],
  ['tree', 'SIGUSR1 to all of its processes, sent by ada'],
  [3, 'SIGUSR1 to rank 3, sent by ada'],
] as const)('a signal to %s says whom it was for and whose it was', (to, text) => {
  expect(sentText({ signal: 'SIGUSR1', by: 'ada', to })).toBe(text)
})

test('a signal that was sent again is one line, where the latest stands', () => {
  const one = { signal: 'SIGUSR1', by: 'ada', to: 'root' as const }
  expect(sentTexts([one, { ...one, by: 'eve' }, one])).toEqual([
    'SIGUSR1 to its root, sent by eve',
    'SIGUSR1 to its root, sent by ada, 2 times',
  ])
})
