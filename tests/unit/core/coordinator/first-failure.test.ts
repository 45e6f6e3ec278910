import { expect, test } from 'vitest'
import {
  earlier,
  failureOf,
  onOurClock,
  type Interval,
} from '../../../../src/core/coordinator/first-failure.ts'
import type { NodeLive } from '../../../../src/core/coordinator/types.ts'
import type { FailureRecord } from '../../../../src/protocol/records.ts'
import { coordinatorWith } from '../../../support/coordinator-steps.ts'
import { exitOf, rankOf } from '../../../support/coordinator/reports.ts'
import { task, torchrun } from '../../../support/coordinator/roles.ts'

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

function node(offset: Interval | null): NodeLive {
  return { offset } as NodeLive
}

test.each<[string, NodeLive | undefined, Interval]>([
  ['a node that is not known: up to now', undefined, { lo: -Infinity, hi: 500 }],
  ['an offset that is not measured: up to now', node(null), { lo: -Infinity, hi: 500 }],
  ['a clock ahead of ours', node({ lo: 90, hi: 110 }), { lo: 290, hi: 310 }],
  ['an offset that drifted: never after it was told', node({ lo: -300, hi: 110 }), { lo: 290, hi: 500 }],
  ['an offset that drifted whole: told at once', node({ lo: -300, hi: -200 }), { lo: 500, hi: 500 }],
])('400 on %s', (_, on, expected) => {
  expect(onOurClock(on, 400, 500)).toEqual(expected)
})

test('a worker that runs has no failure', () => {
  const c = coordinatorWith()
  c.launch({ roles: { a: task() } })
  const [run] = c.state.runs.values()
  expect(failureOf(run!.workers[0]!, undefined, c.wall())).toBeNull()
})

test('a rank of a torchrun worker failed: it is named, with its own exit and time', () => {
  const c = coordinatorWith()
  const id = c.launch({ roles: { a: torchrun('1x2', { restart: 'never' }) } })
  const at = c.wall() - 50
  const ranks = [rankOf(0, { signal: 'SIGTERM' }, at + 9), rankOf(1, { code: 7 }, at)]
  c.exit(id, 'a/0', { code: 1 }, { ranks })
  const [run] = c.state.runs.values()
  expect(failureOf(run!.workers[0]!, undefined, c.wall())).toMatchObject({
    exitedAt: at,
    failure: { worker: `${id}/a/0`, rank: 1, exit: { code: 7 } },
  })
})
