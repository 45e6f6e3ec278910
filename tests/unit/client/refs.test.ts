import { expect, test } from 'vitest'
import { parseRef, refFits, targetsOf } from '../../../src/client/refs.ts'
import { isFault } from '../../../src/protocol/faults.ts'

function codeOf(act: () => unknown): string | null {
  try {
    act()
    return null
  } catch (error) {
    return isFault(error) ? error.code : 'not a fault'
  }
}

test.each([
  ['ppo', { run: 'ppo' }],
  ['last', { run: 'last' }],
  ['ppo/trainer', { run: 'ppo', role: 'trainer' }],
  ['ppo/trainer/3', { run: 'ppo', role: 'trainer', indices: [3] }],
  ['ppo/trainer/1-3,5', { run: 'ppo', role: 'trainer', indices: [1, 2, 3, 5] }],
  ['ppo/trainer:11', { run: 'ppo', role: 'trainer', ranks: [11] }],
  ['ppo/trainer:0-1', { run: 'ppo', role: 'trainer', ranks: [0, 1] }],
])('%s is read', (text, ref) => {
  expect(parseRef(text)).toEqual(ref)
})

test.each(['', 'a/b/c', 'a/b/3-1', 'a//3', '_x', 'a b', 'a/b/1-9999999', '../etc'])(
  "'%s' names nothing and is refused as usage",
  (text) => {
    expect(codeOf(() => parseRef(text))).toBe('USAGE')
  },
)

test('orders go to each index; a rank cannot be stopped alone', () => {
  expect(targetsOf(parseRef('r/main/0-1'))).toEqual([
    { run: 'r', role: 'main', index: 0 },
    { run: 'r', role: 'main', index: 1 },
  ])
  expect(codeOf(() => targetsOf(parseRef('r/main:0')))).toBe('USAGE')
})

test('a worker belongs to its run, role and index', () => {
  expect(
    ['r', 'r/main', 'r/main/1', 'r/main/0', 'r/other'].map((text) =>
      refFits(parseRef(text), { role: 'main', index: 1 }),
    ),
  ).toEqual([true, true, true, false, false])
})
