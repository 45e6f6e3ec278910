/**
 * Bounds of runs and of the fleet: what is beyond them is refused with both numbers by both doors, also
 * beside runs that live, and leaves nothing; what is within them is accepted, written and folded.
 */
import { expect, test, vi } from 'vitest'
import type { CoordinatorCommand } from '../../../../../src/core/coordinator/messages.ts'
import type { FaultBody } from '../../../../../src/protocol/faults.ts'
import { coordinatorWith } from '../../../../support/coordinator-steps.ts'
import { task } from '../../../../support/coordinator/roles.ts'

type Story = ReturnType<typeof coordinatorWith>

function document(roles: Record<string, unknown>, more: Record<string, unknown> = {}) {
  return { apiVersion: 'troupe/v1', name: 'job', roles, ...more }
}
function manyRoles(count: number, role: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [`r${i}`, task(role)]))
}

/** What the durable door says of it. */
function queued(
  c: Story,
  body: Record<string, unknown> | null,
  key: string | null = null,
): Extract<CoordinatorCommand, { kind: 'answer-queued' }> | undefined {
  const fault =
    body === null ? { code: 'REQUEST_INVALID', message: 'no document', data: {}, retryable: false } : null
  const out = c.step({ kind: 'queued-launch', seq: 9, user: 'me', key, storedAt: c.wall(), body, fault })
  c.pump()
  return out.find((command) => command.kind === 'answer-queued')
}

function byBothDoors(c: Story, body: Record<string, unknown>): (FaultBody | null | undefined)[] {
  return [c.ask('launch', body).fault, queued(c, body)?.fault]
}

const TOO_MANY = document(manyRoles(11, { replicas: 10_000 }))
const TOO_LARGE = document(manyRoles(30, { env: { BIG: 'x'.repeat(100_000) } }))

for (const [title, busy] of [
  ['an idle fleet', false],
  ['a fleet with a live run', true],
] as const)
  test(`more workers than a run may have, or too many bytes, at ${title}: refused by both doors, nothing is left`, () => {
    const c = coordinatorWith()
    const live = busy ? [c.launch({ roles: { a: task({ replicas: 3 }) } })] : []
    for (const [body, numbers] of [
      [TOO_MANY, /110000 workers in 11 roles; a run has at most 20000/],
      [TOO_LARGE, /the launch has 30\d{5} bytes .*; at most 2097152/],
    ] as const) {
      for (const fault of byBothDoors(c, body))
        expect(fault).toMatchObject({ code: 'SPEC_INVALID', message: expect.stringMatching(numbers) })
      expect(c.events('rejected').at(-1)!.body).toMatchObject({ fault: { code: 'SPEC_INVALID' } })
      expect(c.ask('answer', { key: '9' }).body).toMatchObject({ run: null, fault: { code: 'SPEC_INVALID' } })
      c.durable.keys.clear()
      c.state.keys.clear()
    }
    expect([...c.state.runs.keys()]).toEqual(live)
    expect([...c.durable.specs.keys()]).toEqual(live)
    for (const run of live) expect(c.status(run).state).toBe('running')
    expect(c.status(c.launch({ roles: { a: task() } })).state).toBe('running')
  })

test('50 roles share 100 kB of environment: it runs, and each worker gets all of its own environment', () => {
  const c = coordinatorWith()
  const env = { BIG: 'x'.repeat(100_000), LEVEL: 'info' }
  const run = c.launch({ env, roles: { ...manyRoles(49, {}), own: task({ env: { LEVEL: 'debug' } }) } })
  expect(c.status(run).state).toBe('running')
  const envs = c.orders('prepare').flatMap(({ body }) => body.forks.map((fork) => [fork.role, fork.env]))
  expect(envs).toHaveLength(50)
  expect(Object.fromEntries(envs)).toMatchObject({ r7: env, own: { ...env, LEVEL: 'debug' } })
  c.failover()
  expect(c.status(run).state).toBe('running')
})

test('20,000 workers in a run are accepted, written and folded', () => {
  const c = coordinatorWith({})
  const run = c.launch({ roles: manyRoles(2, { replicas: 10_000 }) })
  c.failover()
  expect(c.state.runs.get(run)!.workers).toHaveLength(20_000)
})

test('a fleet is full: another launch is refused by both doors with both numbers, until workers have ended', () => {
  const c = coordinatorWith({ n0: {} }, { fleetWorkersMax: 10 })
  const first = c.launch({ roles: { a: task({ replicas: 8, failFast: false }) } })
  const body = document({ b: task({ replicas: 3 }) })
  for (const fault of byBothDoors(c, body))
    expect(fault).toMatchObject({
      code: 'PLAN_INVALID',
      message: '3 workers beside 8 that have not ended; a fleet has at most 10',
      data: { asked: 3, live: 8, largest: 10 },
    })
  expect(c.ask('plan', { document: body }).fault).toMatchObject({ code: 'PLAN_INVALID' })
  c.exit(first, 'a/0', { code: 0 })
  expect(c.ask('launch', body, { key: 'later' }).body).toMatchObject({ existing: false })
  // the same launch again is the same run, however full the fleet is
  expect(c.ask('launch', body, { key: 'later' }).body).toMatchObject({ existing: true })
})

test('a launch comes again by the queue before its key was written, and the fleet is full with it: the same run', () => {
  const c = coordinatorWith({ n0: {} }, { fleetWorkersMax: 3 })
  const body = document({ b: task({ replicas: 3 }) })
  const { run } = queued(c, body)!
  c.durable.keys.clear()
  c.failover()
  expect(queued(c, body)).toMatchObject({ run, fault: null })
})

test('a key that is too long is refused by both doors, and no record or event holds it', () => {
  const c = coordinatorWith()
  const key = 'k'.repeat(1_000_000)
  const body = document({ a: task() })
  const refusal = { code: 'REQUEST_INVALID', message: 'a key of 1000000 characters; at most 256' }
  c.forget()
  expect(c.ask('launch', body, { key }).fault).toMatchObject(refusal)
  expect(queued(c, body, key)!.fault).toMatchObject(refusal)
  expect(queued(c, null, key)!.fault).toMatchObject(refusal)
  expect(c.state.keys.size).toBe(0)
  for (const command of c.commands) expect(JSON.stringify(command).length).toBeLessThan(5000)
})

test('a run is stopped before it was placed: its workers no longer count, and a launch passes over no other run', () => {
  const c = coordinatorWith({ n0: {} }, { fleetWorkersMax: 3 })
  const run = c.launch({ name: 'a', roles: { job: task({ replicas: 3, nodelist: ['late'] }) } })
  c.ask('stop', { run })
  const passed = vi.spyOn(c.state.runs, 'values')
  const next = c.launch({ name: 'b', roles: { job: task({ replicas: 3 }) } })
  expect([passed.mock.calls.length, c.state.liveWorkers, c.status(next).state]).toEqual([0, 3, 'running'])
})
