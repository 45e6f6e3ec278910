/** Nodes that fall silent, come back, are doubled or go for good; and what their workers are meanwhile. */
import { expect, test } from 'vitest'
import {
  coordinatorWith,
  fault,
  service,
  task,
  torchrun,
  type FakeAgent,
  type Story,
} from '../../../../support/coordinator-steps.ts'

function stateOf(c: ReturnType<typeof coordinatorWith>, node: string): string {
  return c.ask('nodes', {}).body.nodes.find((one: { node: string }) => one.node === node)?.state
}

test('a node is silent: suspect after 3 s, lost after 30 s; its worker is lost, the run goes on with that reason and nothing is killed or moved', () => {
  const c = coordinatorWith({ n0: {}, n1: {}, n2: {} })
  const run = c.launch({ roles: { job: task({ replicas: 3 }) } })
  c.silence('n1')
  c.forget()
  c.advance(3500)
  expect(stateOf(c, 'n1')).toBe('suspect')
  c.advance(28_000)
  expect(stateOf(c, 'n1')).toBe('lost')
  const lost = c.status(run).workers.find(({ node }) => node === 'n1')!
  expect(lost.state).toBe('lost')
  expect(c.status(run)).toMatchObject({
    state: 'running',
    reason: expect.stringContaining(`${lost.worker} is lost: node n1 is silent`),
  })
  expect(c.orders('kill')).toEqual([])
  expect(c.orders('prepare')).toEqual([])
  expect(
    c
      .events('lost')
      .map(({ row }) => row)
      .toSorted(),
  ).toEqual(['event.lost', 'event.node'])
})

test('it comes back: the worker runs as before', () => {
  const c = coordinatorWith({ n0: {}, n1: {}, n2: {} })
  const run = c.launch({ roles: { job: task({ replicas: 3 }) } })
  const { pid } = c.status(run).workers.find(({ node }) => node === 'n1')!
  c.silence('n1')
  c.advance(40_000)
  c.restart('n1')
  expect(c.status(run).workers.find(({ node }) => node === 'n1')).toMatchObject({
    state: 'running',
    pid,
    attempt: 1,
  })
})

test('it comes back with an exit: the true one', () => {
  const c = coordinatorWith({ n0: {}, n1: {}, n2: {} })
  const run = c.launch({ roles: { job: task({ replicas: 3 }) } })
  c.silence('n1')
  c.advance(40_000)
  const [fork] = c.agents.get('n1')!.forks.values()
  fork!.report = {
    ...fork!.report,
    phase: 'gone',
    exit: { code: 42, signal: null, oom: null, unknown: null, killedBy: null },
    exitedAt: c.wall(),
    receipt: { outcome: 'gone', survivors: [], reason: null, ms: 1 },
  }
  c.restart('n1')
  expect(c.status(run)).toMatchObject({ state: 'failed', code: 42 })
})

test('the server says that the connection ended: suspect at once', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  c.silence('n1')
  c.step({ kind: 'node-disconnected', node: 'n1', incarnation: c.agents.get('n1')!.incarnation })
  expect(stateOf(c, 'n1')).toBe('suspect')
  c.step({ kind: 'node-disconnected', node: 'n0', incarnation: 'an old one' })
  expect(stateOf(c, 'n0')).toBe('ready')
})

test('nothing new is placed on a suspect node', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  c.silence('n1')
  c.advance(3500)
  const run = c.launch({ roles: { job: task({ replicas: 4 }) } })
  expect(new Set(c.status(run).workers.map(({ node }) => node))).toEqual(new Set(['n0']))
})

test('our own link was down: nobody is suspected until it has been up for a full timeout', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  c.silence('n1')
  c.step({ kind: 'link', up: false })
  c.advance(60_000)
  expect(stateOf(c, 'n1')).toBe('ready')
  c.step({ kind: 'link', up: true })
  c.advance(2500)
  expect(stateOf(c, 'n1')).toBe('ready')
  c.advance(1000)
  expect(stateOf(c, 'n1')).toBe('suspect')
})

test('half of all fall silent at once: the bus is suspected and nobody is given up; one that the server says is gone is', () => {
  const c = coordinatorWith({ n0: {}, n1: {}, n2: {}, n3: {} })
  c.silence('n1')
  c.silence('n2')
  c.advance(60_000)
  expect([stateOf(c, 'n1'), stateOf(c, 'n2')]).toEqual(['suspect', 'suspect'])
  c.step({ kind: 'node-disconnected', node: 'n1', incarnation: c.agents.get('n1')!.incarnation })
  c.advance(1000)
  expect(stateOf(c, 'n1')).toBe('lost')
})

test('a node dies between prepare and start: nothing of it was started, so the gang goes elsewhere at once', () => {
  const c = coordinatorWith({ n0: {}, n1: {}, n2: {} })
  c.agents.get('n1')!.hold.add('prepare')
  const run = c.launch({ roles: { trainer: torchrun('2x1') } })
  const nodes = c.status(run).workers.map(({ node }) => node)
  expect(nodes).toContain('n1')
  c.silence('n1')
  c.step({ kind: 'node-disconnected', node: 'n1', incarnation: c.agents.get('n1')!.incarnation })
  c.pump()
  c.advance(1000)
  expect(c.status(run)).toMatchObject({ state: 'running', attempt: 2 })
  expect(
    c
      .status(run)
      .workers.map(({ node }) => node)
      .toSorted(),
  ).toEqual(['n0', 'n2'])
})

test('a node dies after its start was sent: nobody knows whether it runs, so nothing is started elsewhere', () => {
  const c = coordinatorWith({ n0: {}, n1: {}, n2: {} })
  c.agents.get('n1')!.hold.add('start')
  const run = c.launch({ roles: { job: task({ nodelist: ['n1'], restart: 'on-failure' }) } })
  c.silence('n1')
  c.forget()
  c.advance(60_000)
  expect(c.status(run)).toMatchObject({ state: 'starting', attempt: 1 })
  expect(c.orders('prepare')).toEqual([])
})

test('an agent restarts between prepare and start: prepared again under the same ids', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  c.agents.get('n1')!.hold.add('prepare')
  const run = c.launch({ roles: { trainer: torchrun('2x1') } })
  c.agents.get('n1')!.hold.clear()
  c.restart('n1')
  c.advance(1000)
  expect(c.status(run)).toMatchObject({ state: 'running', attempt: 1 })
})

test('a node comes back with an empty spool: its worker is called off for good, and counts as lost only then', () => {
  const c = coordinatorWith({ n0: {}, n1: {}, n2: {} })
  const run = c.launch({ roles: { job: task({ nodelist: ['n1'] }) } })
  c.advance(2000)
  c.silence('n1')
  c.advance(4000)
  c.agents.get('n1')!.forks.clear()
  c.restart('n1')
  expect(c.orders('cancel').flatMap(({ body }) => body.forks)).toEqual([`${run}.job.0.1`])
  expect(c.status(run)).toMatchObject({ state: 'lost', code: 125 })
  expect(c.worker(run, 'job/0').exit).toMatchObject({ unknown: 'its node lost its spool' })
})

test('stop --force: a worker on a silent node ends without proof, and is called off when its node is heard again', () => {
  const c = coordinatorWith({ n0: {}, n1: {}, n2: {} })
  const run = c.launch({ roles: { job: task({ replicas: 3 }) } })
  c.silence('n1')
  c.advance(40_000)
  c.ask('stop', { run })
  expect(c.status(run)).toMatchObject({
    state: 'stopping',
    reason: expect.stringContaining('troupe stop --force'),
  })
  c.ask('stop', { run, force: true })
  expect(c.status(run)).toMatchObject({ state: 'cancelled' })
  const forced = c.status(run).workers.find(({ node }) => node === 'n1')!
  expect(forced.receipt).toMatchObject({ outcome: 'unverified' })
  expect([...c.durable.fenced]).toEqual([[forced.forkId, 'n1']])
  c.failover()
  c.restart('n1')
  c.advance(1000)
  expect(c.agents.get('n1')!.forks.size).toBe(0)
  expect(c.durable.fenced.size).toBe(0)
})

test('a node that refuses the orders of a store made anew: status and explain say so, and what a person can do', () => {
  const c = coordinatorWith({ n0: {} })
  c.silence('n0')
  const run = c.launch({ roles: { job: task() } })
  const { incarnation } = c.agents.get('n0')!
  c.step({
    kind: 'beat',
    node: 'n0',
    incarnation,
    tick: 1,
    rev: 0,
    loopLagMs: 0,
    storeRefused: true,
    leaving: false,
    draining: false,
  })
  const hint = 'node n0 does not know this state store and refuses its orders: troupe nodes adopt n0'
  expect(c.status(run).reason).toContain(hint)
  const later = c.launch({ name: 'later', roles: { job: task() } })
  expect(c.status(later)).toMatchObject({ state: 'pending', reason: expect.stringContaining(hint) })
  expect(
    (c.ask('explain', { run }).body as { lines: { text: string }[] }).lines
      .map(({ text }) => text)
      .join('\n'),
  ).toContain(hint)
})

test('fenceAfter: the worker is started elsewhere only after T, its grace and a margin', () => {
  const c = coordinatorWith({ n0: {}, n1: {}, n2: {} }, { fenceMarginMs: 5000 })
  const run = c.launch({
    roles: {
      job: task({ exclude: ['n0'], fenceAfter: '40s', stop: { grace: '10s' }, restart: 'on-failure' }),
    },
  })
  const { node } = c.worker(run, 'job/0')
  c.silence(node!)
  c.advance(54_000)
  expect(c.status(run)).toMatchObject({ state: 'running', attempt: 1 })
  c.advance(5000)
  expect(c.worker(run, 'job/0')).toMatchObject({ state: 'running', attempt: 2 })
  expect(c.worker(run, 'job/0').node).not.toBe(node)
})

test('facts are missed: the next beat says so, and the inventory brings them', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { job: task() } })
  const agent = c.agents.get('n0')!
  const [fork] = agent.forks.values()
  fork!.report = {
    ...fork!.report,
    phase: 'gone',
    exit: { code: 0, signal: null, oom: null, unknown: null, killedBy: null },
    exitedAt: c.wall(),
    receipt: { outcome: 'gone', survivors: [], reason: null, ms: 1 },
  }
  agent.rev += 2
  c.advance(1000)
  expect(c.status(run).state).toBe('succeeded')
})

/** A node with ten workers, three forks a page; its orders are answered by hand from the first page on. */
function pagewise(): { c: Story; run: string; agent: FakeAgent; answerOne(): void; pages(): number } {
  const c = coordinatorWith({ n0: { cpus: 16 } })
  const run = c.launch({ roles: { job: task({ replicas: 10, failFast: false }) } })
  const agent = c.agents.get('n0')!
  c.advance(1000)
  agent.pageCount = 3
  agent.hold.add('inventory')
  c.forget()
  c.restart('n0')
  return {
    c,
    run,
    agent,
    answerOne: () => c.answerHeld('n0'),
    pages: () => c.orders('inventory').length,
  }
}

test('an inventory is believed when its last page has come: until then no fork is missing', () => {
  const { c, run, agent, answerOne, pages } = pagewise()
  agent.forks.delete(`${run}.job.9.1`)
  answerOne()
  expect(c.ask('nodes', {}).body.nodes[0].reason).toBe('its inventory has not come yet')
  expect(c.status(run).workers.map((w) => w.state)).toEqual(Array(10).fill('running'))
  answerOne()
  answerOne()
  expect(c.ask('nodes', {}).body.nodes[0].reason).toBeNull()
  expect(pages()).toBe(3)
  expect(c.worker(run, 'job/9').exit).toMatchObject({ unknown: 'its node lost its spool' })
  expect(c.worker(run, 'job/8')).toMatchObject({ state: 'running', reason: null })
})

test('a fact between two pages about a fork of the first page is missed: the inventory is read again', () => {
  const { c, run, agent, answerOne } = pagewise()
  answerOne()
  const fork = agent.forks.get(`${run}.job.0.1`)!
  fork.report = {
    ...fork.report,
    phase: 'gone',
    exit: { code: 0, signal: null, oom: null, unknown: null, killedBy: null },
    exitedAt: c.wall(),
    receipt: { outcome: 'gone', survivors: [], reason: null, ms: 1 },
  }
  agent.rev += 2
  for (let page = 0; page < 3; page++) answerOne()
  expect(c.worker(run, 'job/0').state).toBe('running')
  agent.hold.clear()
  c.advance(1000)
  expect(c.worker(run, 'job/0')).toMatchObject({ state: 'exited', exit: { code: 0 } })
})

test('a page that never comes: the inventory begins anew, and nothing of the half is held against a fork', () => {
  const { c, run, agent, answerOne, pages } = pagewise()
  answerOne()
  c.failHeld('n0', fault('TIMEOUT'))
  expect(c.status(run).workers.every((w) => w.state === 'running')).toBe(true)
  agent.hold.clear()
  c.advance(1000)
  expect(c.ask('nodes', {}).body.nodes[0].reason).toBeNull()
  expect(c.orders('inventory').filter((order) => order.body.from === undefined)).toHaveLength(2)
  expect(pages()).toBe(6)
})

test('unowned forks are listed while the inventory is read; those on no page are gone', () => {
  const { c, agent, answerOne } = pagewise()
  for (let page = 0; page < 4; page++) answerOne()
  c.state.nodes.get('n0')!.unowned.set('old.job.0.1', { gpus: 0, cpus: 0 })
  const unowned = (): string[] => c.ask('nodes', {}).body.nodes[0].unowned
  agent.rev++
  c.advance(1000)
  for (let page = 0; page < 3; page++) answerOne()
  expect(unowned()).toEqual(['old.job.0.1'])
  answerOne()
  expect(unowned()).toEqual([])
})

test('a frozen older agent wakes and beats beside the newer one: the newer stays', () => {
  const c = coordinatorWith()
  const agent = c.agents.get('n0')!
  const old = agent.incarnation
  c.advance(1000)
  c.restart('n0')
  c.step({
    kind: 'beat',
    node: 'n0',
    incarnation: old,
    tick: 1,
    rev: 0,
    loopLagMs: 0,
    storeRefused: false,
    leaving: false,
    draining: false,
  })
  expect(c.ask('nodes', {}).body.nodes[0].incarnation).toBe(agent.incarnation)
})

test('a report about a fork from a node where it was not placed is dropped', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch({ roles: { job: task({ nodelist: ['n0'] }) } })
  const [fork] = c.agents.get('n0')!.forks.values()
  c.step({
    kind: 'report',
    node: 'n1',
    incarnation: c.agents.get('n1')!.incarnation,
    rev: 1,
    report: {
      ...fork!.report,
      phase: 'gone',
      exit: { code: 0, signal: null, oom: null, unknown: null, killedBy: null },
    },
  })
  expect(c.status(run).state).toBe('running')
})

test('a late fact of an old attempt changes nothing', () => {
  const c = coordinatorWith()
  const run = c.launch({
    roles: { job: task({ restart: { policy: 'on-failure', max: 3, backoff: ['100ms', '1s'] } }) },
  })
  const [fork] = c.agents.get('n0')!.forks.values()
  const report = {
    ...fork!.report,
    phase: 'exited' as const,
    exit: { code: 9, signal: null, oom: null, unknown: null, killedBy: null },
  }
  c.exit(run, 'job/0', { code: 1 })
  c.advance(1000)
  expect(c.worker(run, 'job/0')).toMatchObject({ attempt: 2, state: 'running' })
  c.step({ kind: 'report', node: 'n0', incarnation: c.agents.get('n0')!.incarnation, rev: 99, report })
  expect(c.worker(run, 'job/0')).toMatchObject({ attempt: 2, state: 'running' })
})

test('two fail on nodes with skewed clocks: the one that was earlier in truth is the first, whatever was told first [FC-25]', () => {
  const c = coordinatorWith({ n0: { skewMs: 5000 }, n1: { skewMs: -5000 } })
  const run = c.launch({ roles: { job: task({ replicas: 2 }) } })
  for (const agent of c.agents.values()) agent.hold.add('kill')
  const [a, b] = c.status(run).workers
  const skew = (node: string | null): number => (node === 'n0' ? 5000 : -5000)
  const at = c.wall()
  c.exit(run, `job/${b!.index}`, { code: 2 }, { tree: true, exitedAt: at + 500 + skew(b!.node) })
  c.exit(run, `job/${a!.index}`, { code: 1 }, { tree: true, exitedAt: at - 500 + skew(a!.node) })
  expect(c.status(run).firstFailure).toMatchObject({ worker: a!.worker, uncertain: false })
})

test('two fail so close that clocks cannot decide: the first that was told stays, as uncertain [FC-25]', () => {
  const c = coordinatorWith({ n0: { skewMs: 5000 }, n1: { skewMs: -5000 } })
  const run = c.launch({ roles: { job: task({ replicas: 2 }) } })
  for (const agent of c.agents.values()) agent.hold.add('kill')
  const [a, b] = c.status(run).workers
  c.exit(run, `job/${b!.index}`, { code: 2 }, { tree: true })
  c.exit(run, `job/${a!.index}`, { code: 1 }, { tree: true })
  expect(c.status(run).firstFailure).toMatchObject({ worker: b!.worker, uncertain: true })
})

test('explain names the clock that ticks, the cause and what to look at next [A-42 FC-16]', () => {
  const c = coordinatorWith({ n0: {} })
  const pending = c.launch({ roles: { job: task({ nodelist: ['n5'] }) } })
  expect(c.ask('explain', { run: pending }).body.lines[0]).toMatchObject({
    subject: pending,
    text: expect.stringMatching(/pending: .*n5 has not joined; the queue clock ticks/),
    next: 'troupe nodes',
  })
  const run = c.launch({ roles: { api: { kind: 'service', command: ['x'], ready: { exec: ['true'] } } } })
  c.ready(run, 'api/0', false)
  expect(c.ask('explain', { run, role: 'api' }).body.lines).toContainEqual({
    subject: `${run}/api/0`,
    text: 'HTTP 503',
    next: `troupe logs ${run}/api/0`,
  })
  c.ready(run, 'api/0')
  expect(c.worker(run, 'api/0').ready).toBe(true)
})

test('a node that is drained is named where a run waits for room, and each waiting worker has a next check; once it is over nothing waits [A-43 U-11]', () => {
  const c = coordinatorWith({ n0: { cpus: 2 }, n1: { cpus: 2 } })
  c.ask('drain', { node: 'n0', on: true })
  const run = c.launch({
    roles: {
      api: service({ resources: { cpus: 2 }, replicas: 2 }),
      job: task({ dependsOn: { api: 'ready' } }),
    },
  })
  expect(c.status(run)).toMatchObject({
    state: 'pending',
    reason: expect.stringMatching(/\(not counted, draining or silent: n0\)$/),
  })
  const lines = c.ask('explain', { run }).body.lines as { subject: string; next: string | null }[]
  expect(lines.map(({ subject, next }) => [subject, next])).toEqual([
    [run, 'troupe nodes'],
    [`${run}/api/0`, 'troupe nodes'],
    [`${run}/api/1`, 'troupe nodes'],
    [`${run}/job/0`, `troupe explain ${run}/api`],
  ])
  c.ask('stop', { run })
  expect(c.status(run)).toMatchObject({
    state: 'cancelled',
    workers: [
      { reason: 'it was never started' },
      { reason: 'it was never started' },
      { reason: 'it was never started' },
    ],
  })
})

function namesOf(c: ReturnType<typeof coordinatorWith>): string[] {
  return c.ask('nodes', {}).body.nodes.map((one: { node: string }) => one.node)
}

/** So many of a set are looked at from now on. */
function lookedAt<T>(set: Set<T>): () => number {
  let looked = 0
  Object.defineProperty(set, Symbol.iterator, {
    value: function* () {
      for (const one of set.values()) {
        looked++
        yield one
      }
    },
  })
  return () => looked
}

test.each([200, 400])('%i nodes beat: a tick looks at the one whose beat is oldest, and at no other', (n) => {
  const c = coordinatorWith({})
  for (let i = 0; i < n; i++) c.addNode(`n${i}`)
  const looked = lookedAt(c.state.heard)
  for (let i = 0; i < 40; i++) c.step({ kind: 'nodes-tick' })
  expect(looked()).toBe(40)
})

test('a node is lost and nothing is known to run on it: it is shown for an hour, then it leaves memory with its GPUs', () => {
  const c = coordinatorWith({ n0: {}, n1: { gpus: 2, machine: 'a' }, n2: {} })
  c.silence('n1')
  c.advance(40_000)
  expect([namesOf(c), stateOf(c, 'n1')]).toEqual([['n0', 'n1', 'n2'], 'lost'])
  c.advance(3_570_000)
  expect(namesOf(c)).toEqual(['n0', 'n2'])
  expect([c.state.nodes.size, c.state.heard.size, c.state.away.size, c.state.gpuOwners.size]).toEqual([
    2, 2, 0, 0,
  ])
  c.restart('n1')
  expect([namesOf(c), stateOf(c, 'n1')]).toEqual([['n0', 'n1', 'n2'], 'ready'])
})

test('a lost node has a live worker: it stays known as long as that', () => {
  const c = coordinatorWith({ n0: {}, n1: {}, n2: {} })
  const run = c.launch({ roles: { job: task({ nodelist: ['n1'] }) } })
  c.silence('n1')
  c.advance(3_700_000)
  expect(stateOf(c, 'n1')).toBe('lost')
  c.ask('stop', { run, force: true })
  c.advance(250)
  expect(namesOf(c)).toEqual(['n0', 'n2'])
})

test('nodes come and go without end: the lost ones that are kept are bounded, the oldest go first', () => {
  const c = coordinatorWith({ n0: {}, n1: {}, n2: {} }, { lostKept: 2 })
  for (const name of ['a', 'b', 'c', 'd']) {
    c.addNode(name)
    c.advance(1000)
    c.silence(name)
    c.advance(32_000)
  }
  expect(namesOf(c)).toEqual(['c', 'd', 'n0', 'n1', 'n2'])
})
