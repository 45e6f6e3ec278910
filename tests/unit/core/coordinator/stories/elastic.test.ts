/** An elastic role: it starts with what is there, and goes on with fewer when a node goes. */
import { expect, test } from 'vitest'
import { coordinatorWith } from '../../../../support/coordinator-steps.ts'
import { rankOf } from '../../../../support/coordinator/reports.ts'
import { task, torchrun } from '../../../../support/coordinator/roles.ts'

const KILLED = { signal: 'SIGKILL' }

test.each([
  ['the last', 't/1', 0],
  ['the one that hosts the rendezvous', 't/0', 1],
])(
  'the torchrun of a node is killed, %s: a new attempt of those that are left goes on and ends well',
  (_, gone, left) => {
    const c = coordinatorWith({ n0: {}, n1: {} })
    const run = c.launch({ roles: { t: torchrun('1:2x1') } })
    c.forget()
    c.exit(run, gone, KILLED)
    c.advance(2000)
    expect(c.status(run)).toMatchObject({ state: 'running', firstFailure: null, code: null })
    expect(c.worker(run, `t/${left}`)).toMatchObject({ attempt: 2, state: 'running' })
    expect(c.worker(run, gone)).toMatchObject({ attempt: 1, state: 'exited', exit: KILLED })
    expect(c.worker(run, gone).reason).toBe('was killed by SIGKILL; its role went on without it')
    expect(c.orders('prepare').flatMap(({ body }) => body.forks.map(({ torchrun: shape }) => shape))).toEqual(
      [{ nnodes: '1:1', nodeRank: left, nproc: 1, hostsRendezvous: true }],
    )
    expect(c.events('restart').map(({ body }) => body.reason)).toEqual([
      expect.stringMatching(
        /^attempt 1: t\/\d was killed by SIGKILL on n\d; attempt 2 in 0 s \(it goes on with 1 of 2 nodes\)$/,
      ),
    ])
    c.exit(run, `t/${left}`, { code: 0 })
    expect(c.status(run)).toMatchObject({ state: 'succeeded', code: 0 })
  },
)

test('fewer than the least are left: the run fails as any other', () => {
  const c = coordinatorWith({ n0: {}, n1: {}, n2: {} })
  const run = c.launch({ roles: { t: torchrun('2:3x1') } })
  c.exit(run, 't/2', KILLED)
  c.advance(2000)
  expect(c.status(run).state).toBe('running')
  c.exit(run, 't/1', KILLED)
  c.advance(2000)
  expect(c.status(run)).toMatchObject({ state: 'failed', code: 137 })
})

test('a rank fails: that is no node that goes, and the run fails with its code', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch({ roles: { t: torchrun('1:2x1') } })
  c.exit(run, 't/1', { code: 1 }, { ranks: [rankOf(1, { code: 9 })] })
  c.advance(2000)
  expect(c.status(run)).toMatchObject({ state: 'failed', code: 9, attempt: 1 })
})

test('failFast is false: the others are not left alone in a world that is larger than they are', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch({ roles: { t: torchrun('1:2x1', { failFast: false }) } })
  c.exit(run, 't/1', KILLED)
  c.advance(2000)
  expect(c.worker(run, 't/0')).toMatchObject({ attempt: 2, state: 'running' })
})

test('a peer has ended well already: the work is done, and no new world is made', () => {
  const c = coordinatorWith({ n0: {}, n1: {}, n2: {} })
  const run = c.launch({ roles: { t: torchrun('1:3x1') } })
  c.exit(run, 't/0', { code: 0 }, { tree: true })
  c.exit(run, 't/1', KILLED)
  c.advance(2000)
  expect(c.status(run).attempt).toBe(1)
})

test('a role that waits for it to be ready, and a new leader, see the smaller world', () => {
  const c = coordinatorWith({ n0: {}, n1: {}, n2: {} })
  const run = c.launch({
    roles: { t: torchrun('1:2x1'), after: task({ dependsOn: { t: 'done' } }) },
  })
  c.exit(run, 't/0', KILLED)
  c.advance(2000)
  c.failover()
  c.advance(2000)
  expect(c.status(run)).toMatchObject({ state: 'running' })
  c.exit(run, 't/1', { code: 0 })
  c.advance(1000)
  expect(c.worker(run, 'after/0')).toMatchObject({ state: 'running', attempt: 1 })
})

/** Nodes that take no part: that some are silent does not put the bus under suspicion. */
const IDLE = { n3: {}, n4: {}, n5: {}, n6: {}, n7: {} }

test.each([
  ['it is left, too', '1:3x1', ['t/0']],
  ['too few would be left: it moves to a node that is free', '2:3x1', ['t/0', 't/1']],
])(
  'a second node goes silent while the first is being left: its fence is the bound, and %s',
  (_, shape, runs) => {
    const c = coordinatorWith({ n0: {}, n1: {}, n2: {}, ...IDLE }, { fenceMarginMs: 5000 })
    const role = { nodelist: ['n0', 'n1', 'n2'], fenceAfter: '40s', stop: { grace: '10s' } }
    const run = c.launch({ roles: { t: torchrun(shape, role) } })
    c.silence('n1')
    c.exit(run, 't/2', KILLED)
    c.advance(54_000)
    // what may still run there is no part of two worlds
    expect(c.worker(run, 't/0')).toMatchObject({ attempt: 1, state: 'exited' })
    c.advance(5000)
    for (const worker of runs) expect(c.worker(run, worker)).toMatchObject({ attempt: 2, state: 'running' })
    for (const worker of runs) c.exit(run, worker, { code: 0 })
    c.advance(2000)
    expect(c.status(run)).toMatchObject({ state: 'succeeded', code: 0 })
  },
)
