import { expect, test } from 'vitest'
import { exitOf as exitWith } from '../../../support/coordinator/reports.ts'
import { exitOf, viewOf, type WorkerView } from '../../../../src/core/coordinator/worker.ts'
import type { Worker } from '../../../../src/core/coordinator/types.ts'
import type { Receipt } from '../../../../src/protocol/shapes.ts'

const GONE: Receipt = { outcome: 'gone', survivors: [], reason: null, ms: 4 }
const BLANK: WorkerView = {
  pid: null,
  addr: null,
  ports: [],
  gpus: [],
  ranks: [],
  startedAt: null,
  exitedAt: null,
  exit: null,
  receipt: null,
  stderrTail: [],
}

function view(last: Partial<WorkerView> | null, report: Partial<WorkerView> | null) {
  const worker = {
    record: { last: last && { ...BLANK, ...last } },
    report: report && { ...BLANK, ...report },
  } as Pick<Worker, 'record' | 'report'>
  return { ...viewOf(worker), told: exitOf(worker) }
}

const byUs = exitWith({ signal: 'SIGTERM', killedBy: { by: 'fence' } })
const itself = exitWith({ code: 3 })

const rows: [string, Partial<WorkerView> | null, Partial<WorkerView> | null, Partial<WorkerView>][] = [
  ['nothing is known', null, null, BLANK],
  ['only its agent spoke', null, { pid: 7, startedAt: 5 }, { pid: 7, startedAt: 5 }],
  ['only the record is left', { pid: 7, ports: [4] }, null, { pid: 7, ports: [4] }],
  ['its agent has newer addresses', { addr: 'a:1', pid: 7 }, { addr: 'b:2' }, { addr: 'b:2', pid: null }],
  ['its agent does not say when it started', { startedAt: 5 }, { pid: 7 }, { startedAt: 5, pid: 7 }],
  ['its exit was told, its end is not on record', { pid: 7 }, { exit: itself }, { exit: itself }],
  ['its end was decided otherwise', { exit: byUs }, { exit: itself }, { exit: byUs }],
  ['the first time of its exit stands', { exitedAt: 8 }, { exitedAt: 9 }, { exitedAt: 8 }],
  ['the proof came from its agent', null, { receipt: GONE }, { receipt: GONE }],
  [
    'its end was forced before the proof came',
    { receipt: { ...GONE, outcome: 'unverified' } },
    { receipt: GONE },
    { receipt: { ...GONE, outcome: 'unverified' } },
  ],
  [
    'all its last lines are there still',
    { stderrTail: ['b'] },
    { stderrTail: ['a', 'b'] },
    { stderrTail: ['a', 'b'] },
  ],
  [
    'its agent has forgotten its last lines',
    { stderrTail: ['b'] },
    { stderrTail: [] },
    { stderrTail: ['b'] },
  ],
]

test.each(rows)('%s', (_, last, report, seen) => {
  const both = view(last, report)
  expect(both).toMatchObject(seen)
  expect(both.told).toEqual(both.exit)
})
