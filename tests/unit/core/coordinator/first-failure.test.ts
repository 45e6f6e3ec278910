import { expect, test } from 'vitest'
import { exitOf } from '../../../support/coordinator-steps.ts'
import { earlier } from '../../../../src/core/coordinator/first-failure.ts'
import type { FailureRecord } from '../../../../src/protocol/records.ts'

function failure(node: string, lo: number | null, hi: number, exitedAt: number | null): FailureRecord {
  return {
    when: { lo, hi },
    exitedAt,
    failure: {
      worker: `r/job/${node}`,
      node,
      exit: exitOf({ code: 1 }),
      stderrTail: [],
      at: hi,
      uncertain: false,
    },
  }
}

type Answer = 'told' | 'other' | 'uncertain'
const rows: [string, FailureRecord, FailureRecord, Answer][] = [
  ['on one node its clock decides', failure('a', null, 20, 5), failure('a', null, 30, 4), 'other'],
  ['on one node its clock decides the other way', failure('a', 9, 9, 4), failure('a', 1, 1, 5), 'told'],
  ['the other was earlier for certain', failure('a', 10, 12, 1), failure('b', 7, 9, 2), 'other'],
  ['the other was later for certain', failure('a', 10, 12, 1), failure('b', 12, 14, 2), 'told'],
  ['they overlap', failure('a', 10, 12, 1), failure('b', 9, 11, 2), 'uncertain'],
  ['nothing is known of the first', failure('a', null, 12, 1), failure('b', 9, 11, 2), 'uncertain'],
  ['nothing is known of the other', failure('a', 10, 12, 1), failure('b', null, 14, 2), 'uncertain'],
  [
    'nothing is known of the first, and the other is later',
    failure('a', null, 8, 1),
    failure('b', 9, 9, 2),
    'told',
  ],
]

test.each(rows)('%s', (_, told, other, answer) => {
  const first = earlier(told, other)
  expect(first.failure.worker).toBe((answer === 'other' ? other : told).failure.worker)
  expect(first.failure.uncertain).toBe(answer === 'uncertain')
})
