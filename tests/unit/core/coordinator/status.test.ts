import { expect, test } from 'vitest'
import {
  nodeInfo,
  statusOf,
  statusPage,
  summaryOf,
  summaryOfStatus,
} from '../../../../src/core/coordinator/status.ts'
import { contextOf } from '../../../../src/core/coordinator/new-state.ts'
import type { Ctx, Run } from '../../../../src/core/coordinator/types.ts'
import { coordinatorWith, type Story } from '../../../support/coordinator-steps.ts'
import { task } from '../../../support/coordinator/roles.ts'

type Happens = (c: Story, run: string) => void
const probe = { ready: { exec: ['true'] } }

/** A run of two workers after something happened, as the readers see it. */
function after(happens: Happens, role = {}, before: (c: Story) => void = () => {}): [Ctx, Run] {
  const c = coordinatorWith()
  before(c)
  happens(c, c.launch({ roles: { a: task({ replicas: 2, failFast: false, restart: 'never', ...role }) } }))
  const [run] = c.state.runs.values()
  return [contextOf(c.state, { now: c.now(), wall: c.wall() }), run!]
}

const nothing: Happens = () => {}
function hold(verb: 'prepare' | 'start' | 'kill'): (c: Story) => void {
  return (c) => void c.agents.get('n0')!.hold.add(verb)
}
const silent: Happens = (c) => {
  c.silence('n0')
  c.advance(60_000)
}

test.each<[string, Happens, object, (c: Story) => void, [string, boolean], string]>([
  ['no node has room', nothing, { nodelist: ['n9'] }, () => {}, ['pending', false], 'pending'],
  ['it is placed', nothing, {}, hold('prepare'), ['starting', false], 'starting'],
  ['it is prepared', nothing, {}, hold('start'), ['starting', false], 'starting'],
  ['it runs', nothing, {}, () => {}, ['running', true], 'running'],
  ['it runs and is not ready', nothing, probe, () => {}, ['running', false], 'running'],
  [
    'it is being stopped',
    (c, run) => c.ask('stop', { run }),
    {},
    hold('kill'),
    ['stopping', false],
    'stopping',
  ],
  ['its node is lost', silent, {}, () => {}, ['lost', true], 'lost'],
  ['it has exited', (c, run) => c.exit(run, 'a/0', { code: 0 }), {}, () => {}, ['exited', false], 'running'],
  [
    'something of it is left',
    (c, run) => c.exit(run, 'a/0', { code: 0 }, { tree: true }),
    {},
    () => {},
    ['exited', false],
    'running',
  ],
])('the state of a worker and of its role: %s', (_, happens, role, before, expected, ofRole) => {
  const { workers, roles } = statusOf(...after(happens, role, before))
  expect([workers[0]!.state, workers[0]!.ready, roles[0]!.state]).toEqual([...expected, ofRole])
})

test('a worker that waits to be started again shows how it ended, and no process or address of it', () => {
  const again = { restart: { policy: 'on-failure', backoff: ['60s', '60s'] } }
  const { workers } = statusOf(...after((c, run) => c.exit(run, 'a/0', { code: 1 }), again))
  expect(workers[0]).toMatchObject({ state: 'pending', pid: null, exit: { code: 1 }, addr: null, ports: [] })
})

test('a role counts who is ready, who was, who has begun and who has ended', () => {
  const { roles } = statusOf(...after((c, run) => c.exit(run, 'a/0', { code: 0 })))
  expect(roles[0]).toMatchObject({ workers: 2, ready: 1, started: 2, wasReady: 2, ended: 1 })
})

test('a page has its workers in the order of the roles, and the next one by name', () => {
  const [ctx, run] = after(nothing)
  const first = statusPage(ctx, run, run.workers, { count: 1 })
  const second = statusPage(ctx, run, run.workers, { from: first.next!, count: 1 })
  expect([first, second].map(({ workers, next }) => [workers[0]!.index, next])).toEqual([
    [0, `${run.record.run}/a/1`],
    [1, null],
  ])
})

test.each(['x', 'other/a/0', ''])('a cursor that is none of the workers, %j: refused', (from) => {
  const [ctx, run] = after(nothing)
  expect(() => statusPage(ctx, run, run.workers, { from, count: 1 })).toThrow(/workers asked for/)
})

test('a run that has ended: its line in the list is the same from its archive', () => {
  const [ctx, run] = after((c, id) => ['a/0', 'a/1'].forEach((worker) => c.exit(id, worker, { code: 0 })))
  expect(summaryOfStatus(statusOf(ctx, run))).toEqual(summaryOf(ctx, run))
})

test.each<[string, (c: Story) => void, { state: string; reason: unknown }]>([
  ['it is there', () => {}, { state: 'ready', reason: null }],
  ['it is drained', (c) => c.ask('drain', { node: 'n0', on: true }), { state: 'draining', reason: null }],
  [
    'it is silent',
    (c) => silent(c, ''),
    { state: 'lost', reason: expect.stringContaining('no heartbeat for 30 s') },
  ],
])('a node: %s', (_, happens, expected) => {
  const c = coordinatorWith({ n0: { cpus: 3 } })
  happens(c)
  const ctx = contextOf(c.state, { now: c.now(), wall: c.wall() })
  expect(nodeInfo(ctx, c.state.nodes.get('n0')!)).toMatchObject({ node: 'n0', cpus: 3, ...expected })
})
