import { expect, test } from 'vitest'
import { failedRank } from '../../../../src/core/coordinator/ranks.ts'
import type { Cause } from '../../../../src/protocol/causes.ts'
import type { RankReport } from '../../../../src/protocol/shapes.ts'
import { rankOf } from '../../../support/coordinator/reports.ts'

const bob: Cause = { by: 'user', name: 'bob' }

test.each<[string, RankReport[], number | null]>([
  ['none failed', [rankOf(0, { code: 0 }, 1), rankOf(1, null)], null],
  ['the earliest', [rankOf(0, { code: 1 }, 9), rankOf(1, { code: 7 }, 5)], 1],
  ['of two at one time the lower', [rankOf(1, { code: 7 }, 5), rankOf(0, { code: 1 }, 5)], 0],
  ['a TERM is a consequence', [rankOf(0, { signal: 'SIGTERM' }, 1), rankOf(1, { code: 7 }, 5)], 1],
  ['nothing but TERM', [rankOf(0, { signal: 'SIGTERM' }, 9), rankOf(1, { signal: 'SIGTERM' }, 5)], 1],
  ['only the last restart counts', [rankOf(0, { code: 1 }, 1, 0), rankOf(1, { code: 7 }, 5, 1)], 1],
  ['a rank that we killed is none', [rankOf(0, { code: 1, killedBy: bob }, 1), rankOf(1, { code: 7 }, 5)], 1],
  ['one without a time comes last', [rankOf(0, { code: 1 }, null), rankOf(1, { code: 7 }, 5)], 1],
])('the rank that failed first: %s', (_, ranks, expected) => {
  expect(failedRank({ ranks })?.rank.rank ?? null).toBe(expected)
})
