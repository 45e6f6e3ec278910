import { expect, test } from 'vitest'
import { contextOf } from '../../../../src/core/coordinator/new-state.ts'
import { stepCoordinator } from '../../../../src/core/coordinator/step.ts'
import type { Ctx, Run, Worker } from '../../../../src/core/coordinator/types.ts'
import { update } from '../../../../src/core/coordinator/update.ts'
import type { StateOp } from '../../../../src/protocol/records.ts'
import { coordinatorWith } from '../../../support/coordinator-steps.ts'
import { task } from '../../../support/coordinator/roles.ts'

/** A run of two workers that has settled: nothing of it is to be looked at or written. */
function settled() {
  const c = coordinatorWith()
  const run = c.state.runs.get(c.launch({ roles: { a: task({ replicas: 2 }) } }))!
  c.advance(5000)
  const ctx = contextOf(c.state, { now: c.now(), wall: c.wall() })
  const seen = (): object => ({
    ready: run.workers[0]!.role.counts.ready,
    started: run.workers[0]!.role.counts.started,
    entry: run.entry,
    unwritten: run.unwritten.size,
    work: run.work.size,
    dirty: c.state.dirty.size,
  })
  return { c, ctx, run, worker: run.workers[0]!, seen }
}
const NOTHING = { ready: 2, started: 0, entry: null, unwritten: 0, work: 0, dirty: 0 }

test.each<[string, (ctx: Ctx, worker: Worker, run: Run) => void, object]>([
  ['a worker, nothing of it', (ctx, worker) => update(ctx, worker, {}), { work: 1, dirty: 1 }],
  [
    'a worker, what its agent says',
    (ctx, worker) => update(ctx, worker, { report: { ...worker.report!, ready: false } }),
    { ready: 1, started: 1, work: 1, dirty: 1 },
  ],
  [
    'a worker, its record',
    (ctx, worker) => update(ctx, worker, { record: { ending: { by: 'attempt' } } }),
    { ready: 1, started: 1, entry: 'now', unwritten: 1, work: 1, dirty: 1 },
  ],
  [
    'a worker, its record soon',
    (ctx, worker) => update(ctx, worker, { record: { last: null } }, 'soon'),
    { entry: 'soon', unwritten: 1, work: 1, dirty: 1 },
  ],
  [
    'a worker, its record along with another change',
    (ctx, worker) => update(ctx, worker, { record: { node: 'n1' } }, 'along'),
    {},
  ],
  ['a run, nothing of it', (ctx, _, run) => update(ctx, run, {}), { dirty: 1 }],
  [
    'a run, its record',
    (ctx, _, run) => update(ctx, run, { record: { code: 3 } }),
    { entry: 'now', dirty: 1 },
  ],
  [
    'now, and then soon: it stays now',
    (ctx, worker, run) => {
      update(ctx, run, { record: { code: 3 } })
      update(ctx, worker, { record: { last: null } }, 'soon')
    },
    { entry: 'now', unwritten: 1, work: 1, dirty: 1 },
  ],
])('what follows from a change: %s', (_, change, expected) => {
  const { ctx, run, worker, seen } = settled()
  expect(seen()).toEqual(NOTHING)
  change(ctx, worker, run)
  expect(seen()).toEqual({ ...NOTHING, ...expected })
})

test('what goes along is in the next entry about its run, with what that entry is for', () => {
  const { c, ctx, run, worker } = settled()
  update(ctx, run, { record: { reason: 'nobody knows' } }, 'along')
  const written = (): StateOp[] => {
    const [, out] = stepCoordinator(c.state, { kind: 'nodes-tick', now: c.now(), wall: c.wall() })
    return out.flatMap((command) => (command.kind === 'persist' ? command.ops : []))
  }
  expect(written()).toEqual([])
  update(ctx, worker, { record: { ending: { by: 'attempt' } } })
  expect(written()).toMatchObject([
    { op: 'run', run: { reason: 'nobody knows', workers: [{ index: 0, ending: { by: 'attempt' } }] } },
  ])
})

test('the compiler refuses a change that is no update', () => {
  const { run, worker } = settled()
  const before = structuredClone([run.record, worker.record, worker.role.counts])
  const refused = (): void => {
    // @ts-expect-error a record is changed by update alone
    worker.record.phase = 'ended'
    // @ts-expect-error its stage follows from it
    worker.report = null
    // @ts-expect-error counts follow from stages
    worker.role.counts.ended++
    // @ts-expect-error a record is changed by update alone
    run.record.state = 'lost'
    // @ts-expect-error and nothing in it
    run.record.backoffUntil['a'] = 1
  }
  expect([refused.length, run.record, worker.record, worker.role.counts]).toEqual([0, ...before])
})
