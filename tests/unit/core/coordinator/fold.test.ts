import { expect, test } from 'vitest'
import {
  emptyDurable,
  foldEntries,
  foldOp,
  opsOf,
  runOps,
  type Durable,
} from '../../../../src/core/coordinator/fold.ts'
import type { StateOp, WorkerRecord } from '../../../../src/protocol/records.ts'
import { coordinatorWith } from '../../../support/coordinator-steps.ts'
import { task } from '../../../support/coordinator/roles.ts'

/** All that a fleet may have written: two runs, keys, a fence, a drain. */
function written(): Durable {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch({ roles: { a: task({ replicas: 2 }) } }, { key: 'one' })
  c.launch({ roles: { b: task() } }, { key: 'two' })
  c.ask('drain', { node: 'n1', on: true })
  foldOp(c.durable, { op: 'fenced', forkId: `${run}.a.0.1`, node: 'n0' })
  return c.durable
}

function op(of: StateOp['op']): StateOp {
  return [...opsOf(written())].find((one) => one.op === of)!
}
function sizes(durable: Durable): Record<string, number> {
  return {
    runs: durable.runs.size,
    specs: durable.specs.size,
    roles: durable.roles.size,
    keys: durable.keys.size,
    fenced: durable.fenced.size,
    drains: durable.drains.size,
  }
}
const EMPTY = sizes(emptyDurable())
const WHOLE = sizes(written())

test.each<[string, StateOp, Record<string, number>]>([
  ['a run', op('run'), { runs: 1 }],
  ['a spec', op('spec'), { specs: 1 }],
  ['workers of a role', op('role'), { roles: 1 }],
  ['a key', op('key'), { keys: 1 }],
  ['a fence', op('fenced'), { fenced: 1 }],
  ['a drain', op('drain'), { drains: 1 }],
])('%s is put, and putting it again changes nothing', (_, put, expected) => {
  const durable = foldEntries([{ ops: [put] } as never])
  foldOp(durable, put)
  expect(sizes(durable)).toEqual({ ...EMPTY, ...expected })
})

test.each<[string, (durable: Durable) => StateOp, Record<string, number>]>([
  [
    'a run, and what is known of it',
    ({ runs }) => ({ op: 'drop-run', run: first(runs) }),
    { runs: 1, specs: 1, roles: 1 },
  ],
  ['a run that is not there', () => ({ op: 'drop-run', run: 'none' }), {}],
  ['a key', ({ keys }) => ({ op: 'drop-key', key: first(keys) }), { keys: 1 }],
  ['a fence', ({ fenced }) => ({ op: 'unfenced', forkId: first(fenced) }), { fenced: 0 }],
  ['a drain', () => ({ op: 'drain', node: 'n1', on: false }), { drains: 0 }],
])('%s is dropped', (_, drop, expected) => {
  const durable = written()
  foldOp(durable, drop(durable))
  expect(sizes(durable)).toEqual({ ...WHOLE, ...expected })
})

function first(map: ReadonlyMap<string, unknown>): string {
  return [...map.keys()][0]!
}

test('a run is put again with one worker: its head is the new one, the other workers stay', () => {
  const durable = written()
  const [run] = durable.runs.values()
  const [worker] = run!.workers.values()
  foldOp(durable, {
    op: 'run',
    run: { ...run!.head, state: 'failed', workers: [{ ...worker!, attempt: 9 }] },
  })
  expect([run!.head.state, [...run!.workers.values()].map(({ attempt }) => attempt)]).toEqual([
    'failed',
    [9, 1],
  ])
})

test('a snapshot folds to what was written', () => {
  const durable = written()
  expect(foldEntries([{ ops: [...opsOf(durable)] } as never])).toEqual(durable)
})

test('a snapshot names a run before its key: a key never names a run that did not land', () => {
  const ops = [...opsOf(written())].map((one) => one.op)
  expect(ops.lastIndexOf('run')).toBeLessThan(ops.indexOf('key'))
})

test.each([
  [0, [0]],
  [64, [64]],
  [65, [64, 1]],
  [130, [64, 64, 2]],
])('a run of %i workers: its head once at least, and pieces of 64', (count, pieces) => {
  const workers = Array.from({ length: count }, () => ({}) as WorkerRecord)
  const ops = runOps({} as never, workers)
  expect(ops.map((one) => (one.op === 'run' ? one.run.workers.length : null))).toEqual(pieces)
})
