/** State in entries: ops cut by their encoded bytes, specs in parts, workers of a role by ranges. */
import { expect, test } from 'vitest'
import { cutOps, nextSlice } from '../../../../src/core/coordinator/entries.ts'
import { emptyDurable, foldOp, opsOf, type Durable } from '../../../../src/core/coordinator/fold.ts'
import { specOf, specOps } from '../../../../src/core/coordinator/spec-parts.ts'
import { newRun, rolesOf } from '../../../../src/core/coordinator/new-run.ts'
import { encode } from '../../../../src/protocol/codec.ts'
import { resolveLaunch } from '../../../../src/protocol/launch/document.ts'
import { ENTRY_BYTES_MAX, StateOp } from '../../../../src/protocol/records.ts'
import { coordinatorWith } from '../../../support/coordinator-steps.ts'
import { task } from '../../../support/coordinator/roles.ts'

function bytesOf(ops: readonly StateOp[]): number {
  return ops.reduce((sum, op) => sum + encode(op, 'msgpack').length, 0)
}
function drainOp(node: string): StateOp {
  return { op: 'drain', node, on: true }
}
function launchOf(env: Record<string, string>, replicas = 1) {
  return resolveLaunch({
    apiVersion: 'troupe/v1',
    name: 'job',
    env,
    roles: { a: { command: ['x'], replicas } },
  })
}
function folded(ops: Iterable<StateOp>): Durable {
  const durable = emptyDurable()
  for (const op of ops) foldOp(durable, op)
  return durable
}

test('ops beyond the bound of an entry are cut in order; one that cannot be cut stands alone', () => {
  const ops = ['aa', 'bb', 'cc'].map((node) => drainOp(node.repeat(20)))
  const one = bytesOf([ops[0]!])
  expect(cutOps(ops, one).map((entry) => entry.length)).toEqual([1, 1, 1])
  expect(cutOps(ops, 2 * one).map((entry) => entry.length)).toEqual([2, 1])
  expect(cutOps(ops, 10).flat()).toEqual(ops)
  expect(cutOps([], 10)).toEqual([[]])
})

test('entries are measured by their bytes on the wire, not by their characters', () => {
  const wide = [drainOp('ä'.repeat(100)), drainOp('ä'.repeat(100))]
  expect(cutOps(wide, bytesOf(wide) - 1)).toHaveLength(2)
})

test('64 workers with 16 KiB of last words each: no entry is larger than its bound, and all are folded', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { a: task({ replicas: 64 }) } })
  const { head, workers: records } = c.durable.runs.get(run)!
  const workers = [...records.values()].map((record) => ({ ...record, stderrTail: ['x'.repeat(16_384)] }))
  const entries = cutOps([{ op: 'run', run: { ...head, workers } }])
  expect(entries.length).toBeGreaterThan(1)
  for (const entry of entries) expect(bytesOf(entry)).toBeLessThanOrEqual(ENTRY_BYTES_MAX)
  expect([...folded(entries.flat()).runs.get(run)!.workers.values()]).toEqual(workers)
})

test('a launch of the largest size is written in parts that fit, and folded to the same', () => {
  const launch = launchOf({ BIG: 'x'.repeat(2_000_000), WORD: 'ä' })
  const ops = specOps('r', launch)
  expect(ops.length).toBeGreaterThan(4)
  for (const op of ops) expect(bytesOf([op])).toBeLessThanOrEqual(ENTRY_BYTES_MAX)
  for (const op of ops) expect(StateOp.safeParse(op).success).toBe(true)
  expect(specOf(folded(ops).specs.get('r'))).toEqual(launch)
  expect(specOf(folded(ops.slice(1)).specs.get('r'))).toBe(null)
  expect(specOf(undefined)).toBe(null)
})

test('a launch is accepted again with another size: its parts do not mix with those of before', () => {
  const [large, small] = [launchOf({ BIG: 'x'.repeat(600_000) }), launchOf({ BIG: 'x' })]
  const again = folded([...specOps('r', large), ...specOps('r', small), ...specOps('r', large)])
  expect(specOf(again.specs.get('r'))).toEqual(large)
  expect(specOf(folded([...specOps('r', large), ...specOps('r', small)]).specs.get('r'))).toEqual(small)
})

test('a snapshot says all that was written, in slices of an entry, and nothing of a launch that was not accepted', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const env = { BIG: 'x'.repeat(1_500_000) }
  const run = c.launch({ env, roles: { a: task({ replicas: 200 }), b: task() } })
  c.ask('drain', { node: 'n1', on: true })
  for (const op of specOps('never', launchOf({ BIG: 'x'.repeat(600_000) }))) foldOp(c.durable, op)
  const ops = opsOf(c.durable)
  const all: StateOp[] = []
  for (let done = false; !done;) {
    const slice = nextSlice(ops)
    ;({ done } = slice)
    expect(bytesOf(slice.ops)).toBeLessThanOrEqual(ENTRY_BYTES_MAX)
    all.push(...slice.ops)
  }
  const { specs, ...again } = folded(all)
  const { specs: written, ...rest } = c.durable
  expect(again).toEqual(rest)
  expect([...specs.keys()]).toEqual([run])
  expect(specOf(specs.get(run))).toEqual(specOf(written.get(run)))
})

test('a slice is made when it is asked for: what was dropped meanwhile is not in it', () => {
  const durable = folded(Array.from({ length: 50 }, (_, i) => drainOp(`n${i}${'x'.repeat(50)}`)))
  const ops = opsOf(durable)
  const first = nextSlice(ops, 200)
  const [dropped] = [...durable.drains].slice(-1)
  durable.drains.delete(dropped!)
  const rest = nextSlice(ops, 1_000_000)
  expect(rest.done).toBe(true)
  expect([...first.ops, ...rest.ops]).toHaveLength(49)
})

test('a role in STATE says how many workers it wants and which there are, with holes', () => {
  const launch = launchOf({}, 20_000)
  expect(rolesOf(launch)).toEqual([{ role: 'a', wanted: 20_000, indices: [[0, 19_999]] }])
  const c = coordinatorWith()
  const { head } = c.durable.runs.get(c.launch({ roles: { a: task() } }))!
  const roles = [
    {
      role: 'a',
      wanted: 3,
      indices: [
        [0, 0],
        [4, 5],
      ] as [number, number][],
    },
  ]
  const run = newRun(head, launchOf({}, 1), roles, () => undefined)
  expect(run.workers.map(({ record }) => record.index)).toEqual([0, 4, 5])
})
