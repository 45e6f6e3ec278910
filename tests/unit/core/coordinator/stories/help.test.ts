import { expect, test } from 'vitest'
import { coordinatorWith, type Story } from '../../../../support/coordinator-steps.ts'
import { service, task, torchrun } from '../../../../support/coordinator/roles.ts'

type Nodes = Parameters<typeof coordinatorWith>[0]
function home(nodes: Nodes, idleEndMs: number | null = null): Story {
  return coordinatorWith(nodes, { atHome: true, idleEndMs })
}
function helpOf(c: Story, run: string): unknown {
  return c.status(run).help
}
function lose(c: Story, node: string): void {
  c.silence(node)
  c.advance(60_000)
}

test('nodes are missing at home: so many agents as the run needs, those that are there counted', () => {
  const c = home({ n0: {} })
  expect(helpOf(c, c.launch({ roles: { t: torchrun('2x2') } }))).toEqual({
    text: null,
    next: 'troupe up --agents 2',
  })
  expect(helpOf(c, c.launch({ roles: { t: torchrun('4x1') } }))).toMatchObject({
    next: 'troupe up --agents 4',
  })
  expect(helpOf(c, c.launch({ roles: { t: torchrun('2:4x1') } }))).toMatchObject({
    next: 'troupe up --agents 2',
  })
})

test('a worker that asks for the status of its run hears the same, and nothing of the runs of others', () => {
  const c = coordinatorWith({ n0: { cpus: 1 } })
  const roles = { a: { ...task(), resources: { cpus: 1 } } }
  const first = c.launch({ roles }, { user: 'eve' })
  const run = c.launch({ roles })
  const own = { own: true } as const
  const { help, ...status } = c.status(run)
  expect(help).toMatchObject({ text: expect.stringContaining(`${first} of eve`) })
  expect(c.ask('status', { run }, { ...own, user: `${run}/a/0` }).body).toEqual(status)
  const near = `${first.slice(0, -1)}_`
  expect(c.ask('status', { run: near }).fault!.message).toContain(`did you mean ${first}?`)
  expect(c.ask('status', { run: near }, { ...own, user: `${near}/a/0` }).fault).toMatchObject({
    code: 'WORKER_NOT_FOUND',
    message: `no run '${near}' is known`,
  })
})

test('a detached fleet: nobody stays beside what is added', () => {
  const c = home({ n0: {} }, 1000)
  expect(helpOf(c, c.launch({ roles: { t: torchrun('2x2') } }))).toMatchObject({
    next: 'troupe up --agents 2 --detach',
  })
})

test('no node is known: at home one agent, or as many as the shape says; elsewhere an agent under a name', () => {
  const c = home({})
  expect(helpOf(c, c.launch({ roles: { a: task() } }))).toMatchObject({ next: 'troupe up --agents 1' })
  expect(helpOf(c, c.launch({ roles: { t: torchrun('3x1') } }))).toMatchObject({
    next: 'troupe up --agents 3',
  })
  const away = coordinatorWith({})
  expect(helpOf(away, away.launch({ roles: { a: task() } }))).toMatchObject({
    text: expect.stringContaining('it needs 1 more node'),
    next: 'troupe agent --node NAME',
  })
})

test('a lost node is started again, and is no node more', () => {
  const c = home({ n0: {}, n1: {} })
  lose(c, 'n1')
  expect(helpOf(c, c.launch({ roles: { t: torchrun('2x1') } }))).toMatchObject({
    next: 'troupe up --agents 2',
  })
  const away = coordinatorWith({ a: {}, b: {} })
  lose(away, 'b')
  expect(helpOf(away, away.launch({ roles: { t: torchrun('2x1') } }))).toEqual({
    text: 'b is lost',
    next: 'troupe agent --node b',
  })
})

test('a worker on a lost node: the agent is started again, and what ends it without', () => {
  const c = home({ n0: {} })
  const run = c.launch({ roles: { a: task() } })
  lose(c, 'n0')
  expect(helpOf(c, run)).toEqual({
    text: `end it without proof: troupe stop ${run} --force`,
    next: 'troupe up',
  })
})

test('a drained node whose room is enough is named; one that is not enough is not counted', () => {
  const c = home({ n0: {}, n1: {} })
  c.ask('drain', { node: 'n1', on: true })
  const two = c.launch({ roles: { t: torchrun('2x1') } })
  expect(helpOf(c, two)).toEqual({ text: 'n1 is drained', next: 'troupe nodes drain n1 --off' })
  expect(helpOf(c, c.launch({ roles: { t: torchrun('3x1') } }))).toMatchObject({
    next: 'troupe up --agents 4',
  })
  c.ask('drain', { node: 'n1', on: false })
  expect(c.status(two).state).not.toBe('pending')
})

test('a name that nobody has: by `up` where it is one of its names, else by hand', () => {
  const c = home({ n0: {} })
  expect(helpOf(c, c.launch({ roles: { a: task({ nodelist: ['n5'] }) } }))).toMatchObject({
    next: 'troupe up --agents 6',
  })
  expect(helpOf(c, c.launch({ roles: { a: task({ nodelist: ['gpu7'] }) } }))).toEqual({
    text: null,
    next: 'troupe agent --node gpu7',
  })
})

test.each([
  ['cores', { cpus: 2 }, '2 cores'],
  ['memory', { memory: '16GB' }, '14.9 GiB of memory'],
])('%s that another run has: which run, and how much of it', (_, resources, text) => {
  const c = home({ n0: { cpus: 2 } })
  const first = c.launch({ roles: { a: task({ resources }) } })
  const second = c.launch({ roles: { a: task({ resources }) } })
  expect(helpOf(c, second)).toEqual({ text: `${first} of me has ${text}`, next: `troupe status ${first}` })
  // the third is behind the second
  const third = c.launch({ roles: { a: task({ resources }) } })
  expect(helpOf(c, third)).toMatchObject({ next: expect.stringMatching(/^troupe (explain|status) /) })
})

test('more than all nodes have together: more agents help with cores, and not with GPUs, which are the same', () => {
  const c = home({ n0: { cpus: 2, gpus: 2 } })
  expect(helpOf(c, c.launch({ roles: { a: task({ replicas: 3, resources: { cpus: 2 } }) } }))).toMatchObject({
    next: 'troupe up --agents 3',
  })
  expect(helpOf(c, c.launch({ roles: { a: task({ replicas: 3, resources: { gpus: 1 } }) } }))).toEqual({
    text: expect.stringContaining('more agents on this machine do not help'),
    next: 'troupe nodes',
  })
  expect(helpOf(c, c.launch({ roles: { t: torchrun('2x2', { resources: { gpus: 2 } }) } }))).toMatchObject({
    text: expect.stringContaining('do not help'),
  })
})

test('a store that a node refuses, a role that waits for another, and nothing that is waited for', () => {
  const c = home({ n0: {} })
  const run = c.launch({
    roles: { a: task({ dependsOn: { b: 'ready' } }), b: service({ ready: { exec: ['true'] } }) },
  })
  expect(helpOf(c, run)).toEqual({ text: null, next: `troupe explain ${run}/b` })
  c.ready(run, 'b/0')
  expect(helpOf(c, run)).toBeUndefined()
  c.ask('stop', { run })
  expect(helpOf(c, run)).toBeUndefined()
})
