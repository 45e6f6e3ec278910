import { blankReport } from '../../../../src/protocol/blank-report.ts'
import { expect, test } from 'vitest'
import * as outcome from '../../../../src/core/coordinator/outcome.ts'
import type { Worker } from '../../../../src/core/coordinator/types.ts'
import type { Cause } from '../../../../src/protocol/causes.ts'
import type { Exit } from '../../../../src/protocol/shapes.ts'
import { coordinatorWith, type Story } from '../../../support/coordinator-steps.ts'
import { exitOf } from '../../../support/coordinator/reports.ts'
import { service, task } from '../../../support/coordinator/roles.ts'

const bob: Cause = { by: 'user', name: 'bob' }

/** A worker of a task, as its record and its last report say. */
function worker(exit: Partial<Exit> | null, record: object = {}, spoolLost = false): Worker {
  const report = exit === null ? null : { ...blankReport('r.a.0.1', 'prepared'), exit: exitOf(exit) }
  const role = { spec: { kind: 'task' } }
  const known = { last: null, ending: null, phase: 'placed', ...record }
  return { role, report, spoolLost, record: known } as unknown as Worker
}

test.each<[string, Worker, outcome.Outcome | null]>([
  ['it runs', worker(null), null],
  ['it exited 0', worker({ code: 0 }), 'ok'],
  ['it exited 1', worker({ code: 1 }), 'failed'],
  ['a signal that nobody of us sent', worker({ signal: 'SIGTERM' }), 'failed'],
  ['an exit that is not known', worker({ unknown: 'no shim' }), 'failed'],
  ['we are ending it', worker(null, { ending: bob }), 'stopped'],
  ['we are ending it, and it exits 1', worker({ code: 1 }, { ending: bob }), 'stopped'],
  ['a person killed it', worker({ code: 1, killedBy: bob }), 'stopped'],
  ['it was never ready in time, and exits 0', worker({ code: 0, killedBy: { by: 'not-ready' } }), 'failed'],
  ['its fence ended it', worker({ signal: 'SIGKILL', killedBy: { by: 'fence' } }), 'failed'],
  ['it was an orphan', worker({ signal: 'SIGKILL', killedBy: { by: 'orphan' } }), 'failed'],
  ['its spool is lost, and it exits 0', worker({ code: 0 }, {}, true), 'ok'],
  ['it ended before it ran', worker(null, { phase: 'ended' }), 'stopped'],
  [
    'its record knows the exit, its report not yet',
    worker(null, { last: { exit: exitOf({ code: 1 }) } }),
    'failed',
  ],
])('%s', (_, one, expected) => {
  expect(outcome.outcomeOf(one)).toBe(expected)
})

test.each<[string, Cause, boolean]>([
  ['its fence', { by: 'fence' }, true],
  ['being an orphan', { by: 'orphan' }, true],
  ['a person', bob, false],
  ['its readiness probe', { by: 'not-ready' }, false],
])('a worker that was ended by %s: is it lost for the run?', (_, killedBy, lost) => {
  expect(outcome.isLost(worker({ signal: 'SIGKILL', killedBy }))).toBe(lost)
})

const probe = { ready: { exec: ['true'] } }
function ends(...exits: [string, number][]): (c: Story, run: string) => void {
  return (c, run) => exits.forEach(([worker, code]) => c.exit(run, worker, { code }))
}

test.each<[string, Record<string, unknown>, (c: Story, run: string) => void, string]>([
  ['both run, without a probe', task({ replicas: 2 }), () => {}, 'started ready'],
  ['one of two is ready', task({ replicas: 2, ...probe }), (c, run) => c.ready(run, 'on/0'), 'started'],
  ['one of two has ended', task({ replicas: 2 }), ends(['on/0', 0]), 'started ready'],
  ['both have ended well', task({ replicas: 2 }), ends(['on/0', 0], ['on/1', 0]), 'started ready done'],
  ['work was never ready and ended well', task(probe), ends(['on/0', 0]), 'started ready done'],
  [
    'work was never ready and failed',
    task({ ...probe, restart: 'never' }),
    ends(['on/0', 1]),
    'started done',
  ],
  ['a service that is not ready', service(probe), () => {}, 'started'],
])('%s: which conditions are met', (_, role, happens, expected) => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { on: role, other: task({ resources: { cpus: 1 } }) } })
  happens(c, run)
  const [live] = c.state.runs.values()
  const on = live!.byRole.get('on')!
  const conditions = ['started', 'ready', 'done'] as const
  expect(conditions.filter((condition) => outcome.isMet(on, condition)).join(' ')).toBe(expected)
})
