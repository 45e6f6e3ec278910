import { expect, test } from 'vitest'
import { coordinatorWith } from '../../../../support/coordinator-steps.ts'
import { task } from '../../../../support/coordinator/roles.ts'

function stateOf(c: ReturnType<typeof coordinatorWith>, node: string): string {
  return c.ask('nodes', {}).body.nodes.find((one: { node: string }) => one.node === node)?.state
}

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
