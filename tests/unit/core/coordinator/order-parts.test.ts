import { expect, test } from 'vitest'
import { encode, PAYLOAD_BYTES_MAX } from '../../../../src/protocol/codec.ts'
import { coordinatorWith } from '../../../support/coordinator-steps.ts'
import { task } from '../../../support/coordinator/roles.ts'

test('1,200 workers of one node: orders about 500 at most, and all run, end and are proven', () => {
  const c = coordinatorWith({ n0: { cpus: 2000 } })
  const run = c.launch({ roles: { a: task({ replicas: 1200 }) } })
  c.advance(1000)
  expect(c.status(run).roles[0]).toMatchObject({ started: 1200 })
  c.ask('kill', { run })
  c.advance(1000)
  expect(c.state.runs.get(run)!.workers.every((worker) => worker.record.last?.receipt != null)).toBe(true)
  for (const verb of ['prepare', 'start', 'kill'] as const) {
    const sizes = c.orders(verb).map((order) => order.body.forks.length)
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeGreaterThanOrEqual(1200)
    expect(Math.max(...sizes)).toBeLessThanOrEqual(500)
  }
})

test('100 workers with an environment of 100 kB on one node: every order fits a message', () => {
  const c = coordinatorWith({ n0: { cpus: 200 } })
  const run = c.launch({ roles: { a: task({ replicas: 100, env: { BIG: 'x'.repeat(100_000) } }) } })
  expect(c.orders('prepare').length).toBeGreaterThan(5)
  for (const { body } of c.orders())
    expect(encode(body, 'msgpack').length).toBeLessThan(PAYLOAD_BYTES_MAX / 2)
  expect(c.status(run)).toMatchObject({ state: 'running', roles: [{ started: 100 }] })
})
