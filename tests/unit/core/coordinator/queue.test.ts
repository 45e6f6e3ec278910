import { expect, test } from 'vitest'
import { coordinatorWith, type Story } from '../../../support/coordinator-steps.ts'
import { task } from '../../../support/coordinator/roles.ts'

function whole(node: string | null = null, more = {}): Record<string, unknown> {
  return task({ resources: { cpus: 8 }, ...(node !== null && { nodelist: [node] }), ...more })
}

function launch(c: Story, name: string, job: Record<string, unknown>): string {
  return c.launch({ name, roles: { job } })
}

function nodesOf(c: Story, run: string): (string | null)[] {
  return c.status(run).workers.map(({ node }) => node)
}

/** How many places are looked at meanwhile. */
function looksIn(c: Story, work: () => void): number {
  const before = c.state.places.looked
  work()
  return c.state.places.looked - before
}

test('a node is freed: the first that waits gets it, and the next one holds those behind it', () => {
  const c = coordinatorWith({ n0: {} })
  const [a, b, d, e] = ['a', 'b', 'd', 'e'].map((name) => launch(c, name, whole()))
  expect([b, d].map((run) => c.status(run!).reason)).toEqual([
    expect.stringContaining('n0 has 0 cores free'),
    'waiting for its turn: an earlier run waits for resources',
  ])
  c.exit(a!, 'job/0', { code: 0 })
  expect([b, d, e].map((run) => nodesOf(c, run!))).toEqual([['n0'], [null], [null]])
  expect(c.status(d!).reason).toContain('n0 has 0 cores free')
})

test('the one that holds is stopped: those behind it are placed at once', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  launch(c, 'a', whole('n0'))
  const holder = launch(c, 'b', whole('n0'))
  const behind = launch(c, 'd', whole('n1'))
  expect(nodesOf(c, behind)).toEqual([null])
  c.ask('stop', { run: holder })
  expect(nodesOf(c, behind)).toEqual(['n1'])
})

test('the node of the one that holds is drained: it holds nobody back any more', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  launch(c, 'a', whole('n0'))
  launch(c, 'b', whole('n0'))
  const behind = launch(c, 'd', whole('n1'))
  c.ask('drain', { node: 'n0', on: true })
  c.advance(250)
  expect(nodesOf(c, behind)).toEqual(['n1'])
})

test('a run asks for nothing: it is placed behind one that holds', () => {
  const c = coordinatorWith({ n0: {} })
  launch(c, 'a', whole())
  launch(c, 'b', whole())
  const free = launch(c, 'd', task({ resources: { cpus: 0 } }))
  expect(nodesOf(c, free)).toEqual(['n0'])
})

test('a run is restarted when others wait: it goes before those that were accepted later', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const first = launch(
    c,
    'a',
    whole('n0', { restart: { policy: 'on-failure', max: 1, backoff: ['1s', '1s'] } }),
  )
  c.advance(250)
  const second = launch(c, 'b', whole('n0'))
  c.ask('drain', { node: 'n0', on: true })
  c.exit(first, 'job/0', { code: 1 })
  c.advance(2000)
  c.ask('drain', { node: 'n0', on: false })
  expect([nodesOf(c, first), nodesOf(c, second)]).toEqual([['n0'], [null]])
})

test('a worker ends on a node that nobody waits for: no place is looked at', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  launch(c, 'a', whole('n0'))
  const other = launch(c, 'b', whole('n1'))
  launch(c, 'd', whole('n0'))
  expect(looksIn(c, () => c.exit(other, 'job/0', { code: 0 }))).toBe(0)
})

test('less becomes free than is missing: it is looked at with the tick, and placed with the rest', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const [a, b] = ['a', 'b'].map((name) => launch(c, name, whole()))
  const both = launch(c, 'd', whole(null, { replicas: 2 }))
  expect(looksIn(c, () => c.exit(a!, 'job/0', { code: 0 }))).toBe(0)
  expect(looksIn(c, () => c.advance(250))).toBeGreaterThan(0)
  expect(looksIn(c, () => c.advance(250))).toBe(0)
  c.exit(b!, 'job/0', { code: 0 })
  expect(nodesOf(c, both)).toEqual(['n0', 'n1'])
})

test('a hundred runs wait for any node, and one joins: they are looked at with the tick', () => {
  const c = coordinatorWith({})
  const runs = Array.from({ length: 100 }, (_, i) => launch(c, `r${i}`, whole()))
  expect(looksIn(c, () => c.addNode('n0'))).toBe(0)
  c.advance(250)
  expect([nodesOf(c, runs[0]!), c.status(runs[1]!).reason, c.status(runs[2]!).reason]).toEqual([
    ['n0'],
    expect.stringContaining('n0 has 0 cores free'),
    'waiting for its turn: an earlier run waits for resources',
  ])
})

function named(n: number): number {
  const c = coordinatorWith({})
  for (let i = 0; i < n; i++) c.addNode(`n${i}`)
  return looksIn(c, () => {
    for (let i = 0; i < n; i++) launch(c, `r${i}`, whole(`late${i}`))
    for (let i = 0; i < n; i++) c.addNode(`late${i}`)
    if (c.state.queue.size > 0) throw new Error('not all were placed')
  })
}

function freed(n: number): number {
  const c = coordinatorWith({})
  for (let i = 0; i < n; i++) c.addNode(`n${i}`)
  const before = Array.from({ length: n }, (_, i) => launch(c, `a${i}`, whole(`n${i}`)))
  return looksIn(c, () => {
    for (let i = 0; i < n; i++) launch(c, `b${i}`, whole(`n${i}`))
    for (const run of before) c.exit(run, 'job/0', { code: 0 })
    if (c.state.queue.size > 0) throw new Error('not all were placed')
  })
}

test.each([
  ['wait for nodes that join later', named],
  ['wait for nodes that are freed', freed],
])('twice as many runs %s: twice as many places are looked at', (_, looks) => {
  expect(looks(100) / looks(50)).toBeLessThanOrEqual(2.3)
})
