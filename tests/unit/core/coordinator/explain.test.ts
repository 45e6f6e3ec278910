import { expect, test } from 'vitest'
import { explainRun, reasonOf, workerReason } from '../../../../src/core/coordinator/explain.ts'
import { contextOf } from '../../../../src/core/coordinator/new-state.ts'
import type { Ctx, Run } from '../../../../src/core/coordinator/types.ts'
import { coordinatorWith, type Story } from '../../../support/coordinator-steps.ts'
import { service, task } from '../../../support/coordinator/roles.ts'

type Roles = Record<string, Record<string, unknown>>
type Happens = (c: Story, run: string) => void

/** The run of a launch after something happened, as the readers see it. */
function after(
  roles: Roles,
  happens: Happens = () => {},
  before: (c: Story) => void = () => {},
): [Ctx, Run, Story] {
  const c = coordinatorWith()
  before(c)
  const id = c.launch({ roles })
  happens(c, id)
  const [run] = c.state.runs.values()
  return [contextOf(c.state, { now: c.now(), wall: c.wall() }), run!, c]
}

const probe = { ready: { exec: ['true'] } }
const lost: Happens = (c) => {
  c.silence('n0')
  c.advance(60_000)
}
const held: (c: Story) => void = (c) => void c.agents.get('n0')!.hold.add('prepare')
const heldStart: (c: Story) => void = (c) => void c.agents.get('n0')!.hold.add('start')

test.each<[string, Roles, Happens, ((c: Story) => void) | undefined, RegExp | null]>([
  ['it runs', { a: task() }, () => {}, undefined, null],
  [
    'no node has the name it wants',
    { a: task({ nodelist: ['n9'] }) },
    () => {},
    undefined,
    /^waiting for nodes: .*n9 has not joined/,
  ],
  ['it is being prepared', { a: task() }, () => {}, held, /^starting role a: 1 of 1 to go$/],
  [
    'it waits for another role',
    { a: task({ dependsOn: { b: 'ready' } }), b: service(probe) },
    () => {},
    undefined,
    /^role a waits for b to be ready$/,
  ],
  [
    'the other role says why not',
    { a: task({ dependsOn: { b: 'ready' } }), b: service(probe) },
    (c, run) => c.ready(run, 'b/0', false),
    undefined,
    /^role a waits for b to be ready \(.*\/b\/0: HTTP 503\)$/,
  ],
  [
    'its node is lost',
    { a: task({ replicas: 2 }) },
    lost,
    undefined,
    /\/a\/0 and 1 more are lost: node n0 is silent/,
  ],
  [
    'it is being stopped',
    { a: task({ replicas: 2 }) },
    (c, run) => c.ask('stop', { run }),
    (c) => void c.agents.get('n0')!.hold.add('kill'),
    /me/,
  ],
])('the reason of a run: %s', (_, roles, happens, before, expected) => {
  const [ctx, run] = after(roles, happens, before)
  const reason = reasonOf(ctx, run)
  if (expected === null) expect(reason).toBeNull()
  else expect(reason).toMatch(expected)
})

test.each<[string, Roles, Happens, ((c: Story) => void) | undefined, string | null]>([
  ['it runs', { a: task() }, () => {}, undefined, null],
  ['its order is out', { a: task() }, () => {}, held, 'it is being prepared on n0'],
  ['it is prepared', { a: task() }, () => {}, heldStart, 'it is prepared; its gang is not yet'],
  ['its probe is silent', { a: task(probe) }, () => {}, undefined, 'its probe has not said yes yet'],
  ['its probe says no', { a: task(probe) }, (c, run) => c.ready(run, 'a/0', false), undefined, 'HTTP 503'],
  [
    'it has ended',
    { a: task(), b: task() },
    (c, run) => c.exit(run, 'a/0', { code: 0 }),
    undefined,
    'exited 0',
  ],
  [
    'its node is lost',
    { a: task() },
    lost,
    undefined,
    'node n0 is lost (no heartbeat for 30 s); its processes may be running',
  ],
  [
    'it waits for its role',
    { a: task({ dependsOn: { b: 'done' } }), b: task() },
    () => {},
    undefined,
    'role a waits for b to be done',
  ],
])('the reason of a worker: %s', (_, roles, happens, before, expected) => {
  const [ctx, run] = after(roles, happens, before)
  expect(workerReason(ctx, run.byRole.get('a')!.workers[0]!)).toBe(expected)
})

test.each<[string, Roles, Happens, ((c: Story) => void) | undefined, RegExp, RegExp | null]>([
  [
    'it runs',
    { a: task() },
    (c) => c.advance(2000),
    undefined,
    /^running; the run clock ticks: 2 s, without a deadline$/,
    null,
  ],
  [
    'it starts',
    { a: task() },
    () => {},
    held,
    /^starting: .*; the start clock ticks: 0 s/,
    /^troupe events /,
  ],
  [
    'its node is lost',
    { a: task() },
    lost,
    undefined,
    /^running: .*is lost.*; end it without proof: troupe stop \S+ --force$/,
    /^troupe agent --node n0$/,
  ],
  [
    'it has ended',
    { a: task() },
    (c, run) => c.exit(run, 'a/0', { code: 0 }),
    undefined,
    /^succeeded; queue 0 s, start 0 s, run 0 s$/,
    null,
  ],
])('the first line of explain, and what to look at next: %s', (_, roles, happens, before, text, next) => {
  const [ctx, run] = after(roles, happens, before)
  const [line] = explainRun(ctx, run, () => true)
  expect(line!.text).toMatch(text)
  if (next === null) expect(line!.next).toBeNull()
  else expect(line!.next).toMatch(next)
})

test('a worker failed first: a line of its own has its exit, its node and its last words', () => {
  const fails: Happens = (c, run) => c.exit(run, 'a/0', { code: 7 }, { stderrTail: ['oh', 'no'] })
  const [ctx, run] = after({ a: task({ restart: 'never' }) }, fails)
  expect(explainRun(ctx, run, () => false)[1]).toEqual({
    subject: `${run.record.run}/a/0`,
    text: 'failed first: exited 7 on n0; last line: no',
    next: `troupe logs ${run.record.run}/a/0 --tail 50`,
  })
})

test('only workers that were asked for have lines', () => {
  const [ctx, run] = after({ a: task({ replicas: 3, ...probe }) })
  const lines = explainRun(ctx, run, (worker) => worker.record.index === 1)
  expect(lines.slice(1).map(({ subject }) => subject)).toEqual([`${run.record.run}/a/1`])
})
