/** Orders fit the bus whatever their workers are: a node is told of them in several. */
import { expect, test } from 'vitest'
import { encode, PAYLOAD_BYTES_MAX } from '../../../../src/protocol/codec.ts'
import { coordinatorWith } from '../../../support/coordinator-steps.ts'
import { task } from '../../../support/coordinator/roles.ts'

type Story = ReturnType<typeof coordinatorWith>

function sizes(c: Story, verb: 'prepare' | 'start'): { forks: number; bytes: number; timeoutMs: number }[] {
  return c.orders(verb).map(({ body, timeoutMs }) => ({
    forks: body.forks.length,
    bytes: encode(body, 'msgpack').length,
    timeoutMs,
  }))
}
function workersIn(orders: { forks: number }[]): number {
  return orders.reduce((sum, { forks }) => sum + forks, 0)
}

test('100 workers with 100 kB of environment on one node: prepared by orders that fit, and they run', () => {
  const c = coordinatorWith()
  const run = c.launch({ env: { BIG: 'x'.repeat(100_000) }, roles: { a: task({ replicas: 100 }) } })
  const orders = sizes(c, 'prepare')
  expect(workersIn(orders)).toBe(100)
  expect(Math.max(...orders.map(({ bytes }) => bytes))).toBeLessThan(PAYLOAD_BYTES_MAX / 2)
  expect(c.status(run).state).toBe('running')
})

test('the largest environment that a launch may have: one worker an order', () => {
  const c = coordinatorWith()
  const run = c.launch({ env: { BIG: 'x'.repeat(2_000_000) }, roles: { a: task({ replicas: 3 }) } })
  expect(sizes(c, 'prepare').map(({ forks }) => forks)).toEqual([1, 1, 1])
  expect(c.status(run).state).toBe('running')
})

test('each of 200 workers is told 3,000 addresses: started by orders that fit', () => {
  const c = coordinatorWith()
  const server = task({ replicas: 3000, resources: { ports: 1 }, command: ['serve'], kind: 'service' })
  const client = task({ replicas: 200, dependsOn: { server: 'started' } })
  const run = c.launch({ roles: { server, client } })
  c.advance(1000)
  const clients = c
    .orders('start')
    .filter(({ body }) => body.forks.some(({ forkId }) => forkId.includes('.client.')))
  expect(clients.length).toBeGreaterThan(1)
  for (const { body } of clients) expect(encode(body, 'msgpack').length).toBeLessThan(PAYLOAD_BYTES_MAX / 2)
  expect(c.status(run).state).toBe('running')
})
