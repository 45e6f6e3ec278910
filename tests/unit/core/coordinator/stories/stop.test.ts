/** Stopping: order, grace, targets, force; failures end everything at once. */
import { expect, test } from 'vitest'
import { coordinatorWith } from '../../../../support/coordinator-steps.ts'
import { service, task, torchrun } from '../../../../support/coordinator/roles.ts'

const ddp = {
  roles: {
    evaluator: service(),
    trainer: torchrun('2x2', { dependsOn: { evaluator: 'started' }, stop: { grace: '7s' } }),
  },
}

test('stop with order reverse: who depends is told first, who is needed when they are gone [A-06]', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch(ddp)
  c.agents.get('n1')!.hold.add('kill')
  c.ask('stop', { run })
  const roles = (): string[] =>
    c.orders('kill').flatMap(({ body }) => body.forks.map(({ forkId }) => forkId.split('.')[1]!))
  expect(new Set(roles())).toEqual(new Set(['trainer']))
  c.letGo('n1')
  expect(roles().at(-1)).toBe('evaluator')
  expect(c.status(run)).toMatchObject({ state: 'cancelled' })
})

test('all ranks are told in one burst with the role’s own grace, the owner of the store last [A-06 A-07 FC-18]', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch(ddp)
  c.forget()
  c.ask('stop', { run })
  const [first, second] = c.orders('kill')
  expect(first!.body.forks).toEqual([
    { forkId: `${run}.trainer.1.1`, signal: 'SIGTERM', graceMs: 7000, killedBy: { by: 'user', name: 'me' } },
  ])
  expect(second!.body.forks).toEqual([
    { forkId: `${run}.trainer.0.1`, signal: 'SIGTERM', graceMs: 7000, killedBy: { by: 'user', name: 'me' } },
  ])
})

test('order parallel: everybody is told at once', () => {
  const c = coordinatorWith()
  const run = c.launch({
    roles: { a: service({ stop: { order: 'parallel' } }), b: task({ dependsOn: { a: 'started' } }) },
  })
  c.agents.get('n0')!.hold.add('kill')
  c.ask('stop', { run })
  expect(c.orders('kill').flatMap(({ body }) => body.forks).length).toBe(2)
})

test('one of many fails: the order to end its peers leaves in the same step, to all nodes at once, whatever the stop order [U-06]', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch(ddp)
  for (const agent of c.agents.values()) agent.hold.add('kill')
  c.forget()
  c.exit(run, 'trainer/1', { code: 1 }, { tree: true })
  const told = c.orders('kill').flatMap(({ body }) => body.forks)
  expect(told.map(({ forkId }) => forkId).toSorted()).toEqual([
    `${run}.evaluator.0.1`,
    `${run}.trainer.0.1`,
    `${run}.trainer.1.1`,
  ])
  for (const { killedBy } of told) expect(killedBy).toEqual({ by: 'peer', worker: `${run}/trainer/1` })
})

test('kill after stop: the grace becomes 0, without waiting for the first answer', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { job: task() } })
  c.agents.get('n0')!.hold.add('kill')
  c.ask('stop', { run })
  c.ask('kill', { run })
  expect(c.orders('kill').map(({ body }) => [body.forks[0]!.signal, body.forks[0]!.graceMs])).toEqual([
    ['SIGTERM', 30_000],
    [null, 0],
  ])
  c.letGo('n0')
  expect(c.status(run).state).toBe('cancelled')
})

test('a pending run is stopped: it ends at once, and is never started [+A14]', () => {
  const c = coordinatorWith({})
  const run = c.launch({ roles: { job: task() } })
  c.ask('stop', { run })
  expect(c.status(run)).toMatchObject({ state: 'cancelled', code: 130 })
  c.addNode('n0')
  c.advance(5000)
  expect(c.orders('prepare')).toEqual([])
})

test('a run is stopped between prepare and start: what is prepared is called off, nothing runs', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  c.agents.get('n1')!.hold.add('prepare')
  const run = c.launch({ roles: { trainer: torchrun('2x1') } })
  c.ask('stop', { run })
  c.letGo('n1')
  expect(c.status(run).state).toBe('cancelled')
  expect(c.orders('start')).toEqual([])
  for (const agent of c.agents.values()) expect(agent.forks.size).toBe(0)
})

test('a run is stopped while its second role waits: that one is not started afterwards', () => {
  const c = coordinatorWith()
  const run = c.launch({
    roles: { api: service({ ready: { exec: ['true'] } }), job: task({ dependsOn: { api: 'ready' } }) },
  })
  c.agents.get('n0')!.hold.add('kill')
  c.ask('stop', { run })
  c.ready(run, 'api/0')
  c.letGo('n0')
  expect(c.worker(run, 'job/0')).toMatchObject({ state: 'pending', attempt: 0 })
  expect(c.status(run).state).toBe('cancelled')
})

test('one replica is stopped by a person: it stays down, is not restarted, and is no failure', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { job: task({ replicas: 2, restart: 'always' }) } })
  expect(c.ask('stop', { run, role: 'job', index: 1 }).body).toEqual({ workers: [`${run}/job/1`] })
  c.advance(60_000)
  expect(c.worker(run, 'job/1')).toMatchObject({
    state: 'exited',
    attempt: 1,
    exit: { killedBy: { by: 'user', name: 'me' } },
  })
  expect(c.status(run).state).toBe('running')
  c.exit(run, 'job/0', { code: 0 })
  expect(c.status(run)).toMatchObject({ state: 'cancelled', code: 130 })
})

test('one worker of a torchrun role is stopped: its peers would wait for it, so they are stopped too', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch({ roles: { trainer: torchrun('2x1') } })
  c.ask('stop', { run, role: 'trainer', index: 1 })
  expect(c.status(run)).toMatchObject({ state: 'cancelled', code: 130 })
})

test('unknown runs, roles and workers are told apart, with the nearest name [A-18]', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { trainer: task() } })
  expect(c.ask('stop', { run: `${run.slice(0, -1)}x` }).fault).toMatchObject({
    code: 'WORKER_NOT_FOUND',
    message: expect.stringContaining(`did you mean ${run}`),
  })
  expect(c.ask('stop', { run, role: 'trainr' }).fault).toMatchObject({
    code: 'WORKER_NOT_FOUND',
    message: expect.stringContaining('it has trainer'),
  })
  expect(c.ask('stop', { run, role: 'trainer', index: 4 }).fault).toMatchObject({ code: 'WORKER_NOT_FOUND' })
})

test('a run that has ended is stopped: nothing to do, nothing changes', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { job: task() } })
  c.exit(run, 'job/0', { code: 0 })
  expect(c.ask('stop', { run }).body).toEqual({ workers: [] })
  expect(c.status(run).state).toBe('succeeded')
})

test('the time from the first failure to the last receipt is told', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch(ddp)
  for (const agent of c.agents.values()) agent.hold.add('kill')
  c.exit(run, 'trainer/1', { code: 1 })
  c.advance(600)
  expect(c.status(run).stopMs).toBe(null)
  c.letGo('n0')
  c.letGo('n1')
  expect(c.status(run).stopMs).toBe(600)
})

test.each(['stop', 'kill', 'signal'] as const)(
  '%s of another’s run: refused by name; the fleet’s owner may',
  (verb) => {
    const c = coordinatorWith({ n0: {} }, { owner: 'root' })
    const run = c.launch({ roles: { main: task() } }, { user: 'ann' })
    const body = { run, ...(verb === 'signal' && { signal: 'SIGUSR1' }) } as never
    expect(c.ask(verb, body, { user: 'bob' }).fault).toMatchObject({
      code: 'PERMISSION',
      message: `run ${run} is ann's: bob can neither end nor signal it`,
    })
    expect(c.orders()).not.toContainEqual(expect.objectContaining({ verb: 'kill' }))
    expect(c.ask(verb, body, { user: 'root' }).fault).toBeUndefined()
  },
)
