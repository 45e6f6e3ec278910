/** Gangs: all or none, in parallel, with addresses that only the whole knows; dependencies, skew. */
import { expect, test } from 'vitest'
import { coordinatorWith } from '../../../../support/coordinator-steps.ts'
import { fault } from '../../../../support/coordinator/reports.ts'
import { service, task, torchrun } from '../../../../support/coordinator/roles.ts'

test('a torchrun gang of 2 x 2: one prepare a node at once, then one start a node with the rendezvous of node rank 0 [A-27 A-44 U-02 U-03 +U4]', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  c.forget()
  const run = c.launch({ roles: { trainer: torchrun('2x2') } })
  const verbs = c.orders().map(({ verb }) => verb)
  expect(verbs).toEqual(['prepare', 'prepare', 'start', 'start'])
  const specs = c.orders('prepare').flatMap(({ body }) => body.forks)
  expect(specs.map(({ torchrun: t }) => t)).toEqual([
    { nnodes: '2', nodeRank: 0, nproc: 2, hostsRendezvous: true },
    { nnodes: '2', nodeRank: 1, nproc: 2, hostsRendezvous: false },
  ])
  const rendezvous = c
    .orders('start')
    .flatMap(({ body }) => body.forks.map(({ bindings }) => bindings.rendezvous))
  expect(rendezvous[0]).toMatchObject({ host: c.worker(run, 'trainer/0').node, port: expect.any(Number) })
  expect(rendezvous[1]).toEqual(rendezvous[0])
  expect(new Set(c.status(run).workers.map(({ node }) => node)).size).toBe(2)
})

test('workers are named role/index, with a fork id for each attempt [A-02 A-37]', () => {
  const c = coordinatorWith()
  const run = c.launch({ name: 'ppo', roles: { job: task({ replicas: 2 }) } })
  expect(run).toMatch(/^ppo-[0-9a-f]{12}$/)
  expect(c.status(run).workers.map(({ worker, forkId }) => [worker, forkId])).toEqual([
    [`${run}/job/0`, `${run}.job.0.1`],
    [`${run}/job/1`, `${run}.job.1.1`],
  ])
})

test('the intent is in an entry before any order leaves; one entry for the whole gang', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  c.forget()
  c.launch({ roles: { job: task({ replicas: 8 }) } })
  const kinds = c.commands.map(({ kind }) => kind)
  expect(kinds.indexOf('persist')).toBeLessThan(kinds.indexOf('order'))
  const entries = c.commands.filter(({ kind }) => kind === 'persist')
  // accepted and placed; all started
  expect(entries.length).toBe(2)
})

test('nothing runs before all are prepared', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  c.agents.get('n1')!.hold.add('prepare')
  const run = c.launch({ roles: { trainer: torchrun('2x1') } })
  expect(c.orders('start')).toEqual([])
  expect(c.status(run).state).toBe('starting')
  c.letGo('n1')
  expect(c.orders('start').length).toBe(2)
  expect(c.status(run).state).toBe('running')
})

test('one node has no port: the attempt is cancelled everywhere, the next has new ids [A-18 A-21]', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  c.agents.get('n1')!.refuse.set('prepare', [fault('PORT_ALLOC', 'no free port')])
  const run = c.launch({ roles: { trainer: torchrun('2x1') } })
  expect(c.orders('start')).toEqual([])
  expect(
    c
      .orders('cancel')
      .flatMap(({ body }) => body.forks)
      .toSorted(),
  ).toEqual([`${run}.trainer.0.1`, `${run}.trainer.1.1`])
  expect(c.status(run)).toMatchObject({ state: 'pending' })
  expect(c.status(run).reason).toContain('retry')
  c.advance(1000)
  expect(c.status(run)).toMatchObject({ state: 'running', attempt: 2 })
})

test('a node can never lease: after three attempts the run could not start, with code 125 [A-21]', () => {
  const c = coordinatorWith()
  c.agents.get('n0')!.refuse.set(
    'prepare',
    [1, 2, 3, 4, 5].map(() => fault('PORT_ALLOC', 'no free port in 20000-20010')),
  )
  const run = c.launch({ roles: { job: task() } })
  c.advance(20_000)
  const status = c.status(run)
  expect(status).toMatchObject({ state: 'failed', code: 125, attempt: 3 })
  expect(status.reason).toContain('no free port in 20000-20010')
})

test('a fault that no retry can mend: could not start at once', () => {
  const c = coordinatorWith()
  c.agents.get('n0')!.refuse.set('prepare', [fault('WORKER_CONFIG', 'no interface ib7')])
  const run = c.launch({ roles: { job: task() } })
  expect(c.status(run)).toMatchObject({ state: 'failed', code: 125, attempt: 1 })
})

test('a start is not answered: it is sent again, and the fork is not started twice', () => {
  const c = coordinatorWith()
  c.agents.get('n0')!.refuse.set('start', [fault('TIMEOUT')])
  const run = c.launch({ roles: { job: task() } })
  c.advance(1000)
  expect(c.status(run)).toMatchObject({ state: 'running', attempt: 1 })
})

test('a prepare has lapsed before its start: prepared again, with the new addresses for all [A-21]', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  c.agents.get('n0')!.refuse.set('start', [fault('EXPIRED')])
  c.agents.get('n1')!.refuse.set('start', [fault('EXPIRED')])
  const run = c.launch({ roles: { trainer: torchrun('2x1') } })
  c.advance(1000)
  expect(c.status(run)).toMatchObject({ state: 'running', attempt: 1 })
  expect(c.orders('prepare').length).toBe(4)
})

test('a role waits until the one it depends on is ready, and gets its address [A-28 A-29 A-05]', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch({
    roles: {
      rollout: service({
        replicas: 2,
        resources: { ports: 1 },
        ready: { http: { port: 0, path: '/health' } },
      }),
      trainer: task({
        dependsOn: { rollout: { condition: 'ready', timeout: '20m' } },
        env: { URLS: '${{ roles.rollout.addrs }}' },
      }),
    },
  })
  c.ready(run, 'rollout/0')
  expect(c.worker(run, 'trainer/0').state).toBe('pending')
  c.ready(run, 'rollout/1')
  expect(c.worker(run, 'trainer/0').state).toBe('running')
  const { bindings } = c.orders('start').at(-1)!.body.forks[0]!
  const addrs = c
    .status(run)
    .workers.filter(({ role }) => role === 'rollout')
    .map(({ addr }) => addr)
  expect(bindings.roles['rollout']).toEqual({ addr: addrs[0], addrs })
})

test('a dependency is not ready in time: timed-out, and the text says which', () => {
  const c = coordinatorWith()
  const run = c.launch({
    roles: {
      api: service({ ready: { exec: ['true'], timeout: '1h' } }),
      job: task({ dependsOn: { api: { condition: 'ready', timeout: '5s' } } }),
    },
    deadlines: { start: '1h' },
  })
  c.advance(4000)
  expect(c.status(run).state).toBe('starting')
  c.advance(2000)
  expect(c.status(run)).toMatchObject({
    state: 'timed-out',
    code: 124,
    reason: 'role job waited 5 s for api to be ready',
  })
})

test('a role that waits for another to be done does not hold the run in starting', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { prep: task(), train: task({ dependsOn: { prep: 'done' } }) } })
  expect(c.status(run).state).toBe('running')
  c.exit(run, 'prep/0', { code: 0 })
  expect(c.worker(run, 'train/0').state).toBe('running')
  c.exit(run, 'train/0', { code: 0 })
  expect(c.status(run).state).toBe('succeeded')
})

test('node clocks differ by an hour: the skew of starts is measured on one clock [U-03 U-07 FC-25]', () => {
  const c = coordinatorWith({ n0: { skewMs: 3_600_000 }, n1: { skewMs: -5000 } })
  const run = c.launch({ roles: { trainer: torchrun('2x1') } })
  expect(c.status(run).roles[0]!.startSkewMs).toBeLessThanOrEqual(2)
})

test('a node that is slow to start and a silent one are shown as stragglers [U-07]', () => {
  const c = coordinatorWith({ n0: {}, n1: {}, n2: {} })
  c.agents.get('n1')!.hold.add('start')
  const run = c.launch({ roles: { job: task({ replicas: 3 }) } })
  c.advance(3000)
  const late = c.status(run).workers.find(({ node }) => node === 'n1')!.worker
  expect(c.status(run).stragglers).toMatchObject([{ worker: late, kind: 'join' }])
  c.letGo('n1')
  expect(c.status(run).stragglers).toMatchObject([{ worker: late, kind: 'start' }])
  c.silence('n2')
  c.advance(4000)
  expect(
    c
      .status(run)
      .stragglers.map(({ kind }) => kind)
      .toSorted(),
  ).toEqual(['heartbeat', 'start'])
})
