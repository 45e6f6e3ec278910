import { describe, expect, test } from 'vitest'
import { matchRuns, type Matching } from '../../../src/client/match-runs.ts'
import { isFault, type Fault } from '../../../src/protocol/faults.ts'
import type { RunSummary } from '../../../src/protocol/run-summary.ts'
import { summary } from '../../support/fake-fleet.ts'

const NOW = 1_700_000_100_000
function ago(seconds: number, over: Partial<RunSummary> = {}): Partial<RunSummary> {
  return { acceptedAt: NOW - seconds * 1000, ...over }
}
const ended = { state: 'succeeded', code: 0 } as const

function match(word: string, runs: readonly RunSummary[], over: Partial<Matching> = {}) {
  return matchRuns(word, runs, { user: 'ann', now: NOW, ...over })
}
function faultOf(act: () => unknown): Fault {
  try {
    act()
  } catch (error) {
    if (isFault(error)) return error
  }
  throw new Error('it was not refused')
}

const twins = [
  summary('job-000000000001', ago(300, ended)),
  summary('job-000000000002', ago(200)),
  summary('job-000000000003', ago(100, ended)),
]

describe('a name', () => {
  test('one of three runs lives: that one, and it is said [R-17]', () => {
    expect(match('job', twins)).toEqual({
      runs: ['job-000000000002'],
      choice: "'job' is job-000000000002 (running, of ann, 3 min old); 2 others have ended",
    })
  })
  test('all have ended: the newest', () => {
    const all = twins.map((run) => ({ ...run, ...ended }))
    expect(match('job', all).runs).toEqual(['job-000000000003'])
  })
  test('one run has it: nothing is said to a reader, all to one that acts', () => {
    expect(match('job', [twins[1]!]).choice).toBeNull()
    expect(match('job', [twins[1]!], { acts: true }).choice).toContain('job-000000000002 (running')
  })
  test('two live: refused with state, user and age of each, the newest first', () => {
    const fault = faultOf(() => match('job', [...twins, summary('job-000000000004', ago(9000))]))
    expect(fault.code).toBe('AMBIGUOUS')
    expect(fault.message).toBe(
      "'job' fits 2 runs: job-000000000002 (running, of ann, 3 min old), job-000000000004 (running, of ann, 3 h old)",
    )
    expect(fault.data).toMatchObject({
      candidates: ['job-000000000002', 'job-000000000004'],
      runs: [{ run: 'job-000000000002', state: 'running', user: 'ann', ageMs: 200_000 }, {}],
    })
  })
  test('it wins over being the prefix of another id', () => {
    const runs = [summary('train-000000000001', ago(5, ended)), summary('train-eval-000000000002', ago(1))]
    expect(match('train', runs).runs).toEqual(['train-000000000001'])
  })
  test('it wins over a prefix that reaches into the hash of another', () => {
    const runs = [summary('train-4f-000000000001', ago(5)), summary('train-4f0000000002', ago(1))]
    expect(match('train-4f', runs, { acts: true }).runs).toEqual(['train-4f-000000000001'])
  })
  test('it looks like an id (a date, a long word): it is a name all the same', () => {
    const runs = [summary('exp-202601011200-000000000001'), summary('my-deadbeef0123-000000000002')]
    expect(match('exp-202601011200', runs, { acts: true }).runs).toEqual(['exp-202601011200-000000000001'])
    expect(match('my-deadbeef0123', runs).runs).toEqual(['my-deadbeef0123-000000000002'])
  })
})

describe('a prefix', () => {
  const runs = [summary('train-eval-4f992d3b3f53', ago(5)), summary('solo-0a0000000003', ago(6))]

  test.each(['t', 'train', 'train-', 'train-e', 'train-eval-'])(
    'that ends within a name (%s): an order is refused, and the run is named',
    (word) => {
      const fault = faultOf(() => match(word, runs, { acts: true }))
      expect(fault.code).toBe('WORKER_NOT_FOUND')
      expect(fault.message).toBe(`there is no run '${word}'; did you mean 'train-eval-4f992d3b3f53'?`)
    },
  )
  test.each(['train-eval-4', 'train-eval-4f992d3b3f5', 'train-eval-4f992d3b3f53'])(
    'that reaches into the hash (%s): an order takes it',
    (word) => expect(match(word, runs, { acts: true }).runs).toEqual(['train-eval-4f992d3b3f53']),
  )
  test('that ends within a name: a reader takes it, and it is said', () => {
    expect(match('so', runs)).toEqual({
      runs: ['solo-0a0000000003'],
      choice: "'so' is solo-0a0000000003 (running, of ann, 6 s old)",
    })
  })
  test('that fits several: refused with the candidates', () => {
    const fault = faultOf(() => match('job-0', twins))
    expect(fault.code).toBe('AMBIGUOUS')
    expect(fault.message).toMatch(/^'job-0' fits 3 runs: job-000000000003 \(succeeded, of ann, 2 min old\), /)
  })
  test('an unknown word is said with the nearest name', () => {
    expect(() => match('sollo', runs)).toThrow(/did you mean 'solo'/)
  })
})

describe('runs of several users', () => {
  const runs = [
    summary('job-000000000001', ago(300, { user: 'ann', ...ended })),
    summary('job-000000000002', ago(50, { user: 'bob' })),
    summary('own-000000000003', ago(400, { user: 'ann' })),
    summary('his-000000000004', ago(10, { user: 'bob' })),
  ]
  test('a name is first one’s own, though another’s lives', () => {
    expect(match('job', runs).runs).toEqual(['job-000000000001'])
  })
  test('last is one’s own newest; all are one’s own that live', () => {
    expect(match('last', runs).runs).toEqual(['job-000000000001'])
    expect(match('all', runs, { acts: true }).runs).toEqual(['own-000000000003'])
  })
  test('everybody’s are meant: last and all are of all, a name has its live run', () => {
    const all = { runsOf: 'all' }
    expect(match('last', runs, all).runs).toEqual(['his-000000000004'])
    expect(match('all', runs, all).runs).toHaveLength(3)
    expect(match('job', runs, all).runs).toEqual(['job-000000000002'])
  })
  test('those of one user are meant: no others', () => {
    expect(match('last', runs, { runsOf: 'bob' }).runs).toEqual(['his-000000000004'])
    expect(faultOf(() => match('own', runs, { runsOf: 'bob' })).code).toBe('WORKER_NOT_FOUND')
  })
  test('a name that only another has: his, and it is said', () => {
    expect(match('his', runs)).toEqual({
      runs: ['his-000000000004'],
      choice: "'his' is his-000000000004 (running, of bob, 10 s old)",
    })
  })
  test('one has no run yet: said so, though others have', () => {
    expect(faultOf(() => match('last', runs, { user: 'eve' })).message).toBe('you have no run yet')
  })
})

test('last is the newest, ended or not; all are those that have not ended', () => {
  expect(match('last', twins)).toEqual({ runs: ['job-000000000003'], choice: null })
  expect(match('all', twins)).toEqual({ runs: ['job-000000000002'], choice: null })
})
