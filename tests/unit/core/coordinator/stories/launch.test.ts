/** Launches: once for each key, by both doors; a refused document leaves no run. */
import { expect, test } from 'vitest'
import { coordinatorWith } from '../../../../support/coordinator-steps.ts'
import { service, task } from '../../../../support/coordinator/roles.ts'
import type { FaultBody } from '../../../../../src/protocol/faults.ts'
import type { CoordinatorCommand } from '../../../../../src/core/coordinator/messages.ts'

function document(
  roles: Record<string, unknown>,
  more: Record<string, unknown> = {},
): Record<string, unknown> {
  return { apiVersion: 'troupe/v1', name: 'job', roles, ...more }
}

function queued(
  c: ReturnType<typeof coordinatorWith>,
  seq: number,
  body: Record<string, unknown>,
  key: string | null = null,
): { run: string | null; fault: FaultBody | null } {
  const out = c.step({ kind: 'queued-launch', seq, user: 'me', key, storedAt: c.wall(), body, fault: null })
  c.pump()
  return out.find(
    (command): command is Extract<CoordinatorCommand, { kind: 'answer-queued' }> =>
      command.kind === 'answer-queued',
  )!
}

test('the same key and spec: the same run, and it is told that it exists [FC-8 +A19]', () => {
  const c = coordinatorWith()
  const body = document({ job: task() })
  const first = c.ask('launch', body, { key: 'k1' }).body
  expect(first).toMatchObject({ existing: false })
  expect(c.ask('launch', body, { key: 'k1' }).body).toEqual({ run: first.run, existing: true })
  expect(c.orders('prepare').length).toBe(1)
})

test('the same key with another spec: a conflict, by both doors', () => {
  const c = coordinatorWith()
  const { run } = c.ask('launch', document({ job: task() }), { key: 'k1' }).body
  expect(c.ask('launch', document({ job: task({ replicas: 2 }) }), { key: 'k1' }).fault).toMatchObject({
    code: 'KEY_CONFLICT',
    data: { key: 'k1', run },
  })
  expect(queued(c, 1, document({ other: task() }), 'k1').fault).toMatchObject({ code: 'KEY_CONFLICT' })
  expect(c.events('rejected').at(-1)!.body).toMatchObject({ key: 'k1', fault: { code: 'KEY_CONFLICT' } })
  expect(queued(c, 2, document({ job: task() }), 'k1')).toMatchObject({ run, fault: null })
})

test('the same key from another shell: the conflict names the words that differ, and no value of them', () => {
  const c = coordinatorWith()
  const shell = (path: string, roles = { job: task() }) =>
    document(roles, { callerEnv: { PATH: path, SAME: 'same' } })
  const { run } = c.ask('launch', shell('/secret/one'), { key: 'k' }).body
  const { fault } = c.ask('launch', shell('/secret/two'), { key: 'k' })
  expect(fault).toMatchObject({ code: 'KEY_CONFLICT', data: { run, differ: ['callerEnv.PATH'] } })
  expect(fault!.message).toContain('different are: callerEnv.PATH')
  expect(fault!.hint).toContain('--env-from none')
  const role = task({ env: { A: '1' }, command: ['other'] })
  expect(c.ask('launch', shell('/secret/one', { job: role }), { key: 'k' }).fault).toMatchObject({
    data: { differ: ['roles.job.command', 'roles.job.env.A'] },
  })
  expect(c.ask('launch', document({ job: task() }), { key: 'k' }).fault).toMatchObject({
    data: { differ: ['callerEnv'] },
  })
  expect(queued(c, 1, shell('/secret/three'), 'k').fault).toMatchObject({ code: 'KEY_CONFLICT' })
  expect(JSON.stringify(c.events('rejected'))).not.toContain('/secret')
  expect(JSON.stringify([c.ask('status', { run }).body, c.ask('explain', { run }).body])).not.toContain(
    '/secret',
  )
})

test('the same key of two users, and two launches without a key in one moment: different runs [FC-8]', () => {
  const c = coordinatorWith()
  const body = document({ job: task() })
  const runs = [
    c.ask('launch', body, { key: 'k', user: 'ann' }),
    c.ask('launch', body, { key: 'k', user: 'bob' }),
    c.ask('launch', body),
    c.ask('launch', body),
  ].map((answer) => answer.body.run)
  expect(new Set(runs).size).toBe(4)
})

test('a queued launch comes again after a failover: the same run, nothing twice, and its outcome is told again under the same id [FC-4]', () => {
  const c = coordinatorWith()
  const body = document({ job: task() })
  const { run } = queued(c, 7, body)
  const [told] = c.events('accepted')
  c.failover()
  c.forget()
  expect(queued(c, 7, body)).toMatchObject({ run, fault: null })
  expect(c.events('accepted').map((event) => event.body.id)).toEqual([told!.body.id])
  expect(c.orders('prepare')).toEqual([])
  expect(c.ask('answer', { key: '7' }).body).toEqual({ run, fault: null })
})

test('a launch by request without a key is given one, told in its event: what became of it is remembered like any other, in an entry before its answer', () => {
  const c = coordinatorWith()
  const { run } = c.ask('launch', document({ job: task() })).body
  const { key } = c.events('accepted').at(-1)!.body as { key: string }
  const { fault } = c.ask('launch', document({ job: task({ resources: { cpus: 99 } }) }))
  expect(fault).toMatchObject({ code: 'PLAN_INVALID' })
  const refused = c.events('rejected').at(-1)!.body as { key: string }
  c.failover()
  expect(c.ask('answer', { key }).body).toEqual({ run, fault: null })
  expect(c.ask('answer', { key: refused.key }).body).toEqual({ run: null, fault })
  const order = c.commands.flatMap((command) =>
    command.kind === 'persist' && command.ops.some(({ op }) => op === 'key')
      ? ['record']
      : command.kind === 'reply' || command.kind === 'refuse'
        ? ['answer']
        : [],
  )
  expect(order.slice(0, 4)).toEqual(['record', 'answer', 'record', 'answer'])
})

test('an answered key survives a failover, and is forgotten after 48 hours', () => {
  const c = coordinatorWith()
  const body = document({ job: task() })
  const { run } = c.ask('launch', body, { key: 'k' }).body
  c.exit(run, 'job/0', { code: 0 })
  c.failover()
  expect(c.ask('launch', body, { key: 'k' }).body).toEqual({ run, existing: true })
  expect([...c.durable.keys.keys()]).toEqual(['me/k'])
})

test('the accepted record is in an entry before the answer leaves, and the key after the run that it names', () => {
  const c = coordinatorWith()
  c.forget()
  c.ask('launch', document({ job: task() }), { key: 'k' })
  const kinds = c.commands.map(({ kind }) => kind)
  expect(kinds.indexOf('persist')).toBeLessThan(kinds.indexOf('reply'))
  const { ops } = c.commands.find(
    (command): command is Extract<CoordinatorCommand, { kind: 'persist' }> => command.kind === 'persist',
  )!
  expect(ops.map(({ op }) => op)).toEqual(['spec', 'role', 'run', 'key'])
})

test('a queued launch is given back to nobody before its record is written', () => {
  const c = coordinatorWith()
  c.forget()
  queued(c, 1, document({ job: task() }))
  const kinds = c.commands.map(({ kind }) => kind)
  expect(kinds.indexOf('persist')).toBeLessThan(kinds.indexOf('answer-queued'))
})

test('a refused document leaves no run; with a key its refusal is remembered', () => {
  const c = coordinatorWith()
  const bad = document({ job: { ...task(), repicas: 2 } })
  const { fault } = c.ask('launch', bad, { key: 'k' })
  expect(fault).toMatchObject({ code: 'SPEC_INVALID' })
  expect(c.ask('launch', bad, { key: 'k' }).fault).toEqual(fault)
  expect(c.ask('list', { all: true }).body).toEqual({ runs: [], partial: null, next: null })
  expect(c.events('rejected').length).toBe(1)
})

test('a plan says where everything would go and launches nothing [A-36]', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const { body } = c.ask('plan', { document: document({ api: service(), job: task() }) })
  expect(body.placements.map(({ worker }: { worker: string }) => worker)).toEqual(['api/0', 'job/0'])
  expect(body.placements.every(({ node }: { node: string | null }) => node !== null)).toBe(true)
  expect(body.launch.roles.length).toBe(2)
  expect(c.ask('list', { all: true }).body).toEqual({ runs: [], partial: null, next: null })
})

test('a queued document that nobody can read is answered and ended after one try', () => {
  const c = coordinatorWith()
  const out = c.step({
    kind: 'queued-launch',
    seq: 3,
    user: 'me',
    key: null,
    storedAt: c.wall(),
    body: null,
    fault: { code: 'REQUEST_INVALID', message: 'neither', data: {}, retryable: false },
  })
  expect(out.map(({ kind }) => kind)).toContain('answer-queued')
  expect(c.ask('answer', { key: '3' }).body).toMatchObject({ run: null, fault: { code: 'REQUEST_INVALID' } })
})

test('a launch that waited in the queue is judged by when it was stored', () => {
  const c = coordinatorWith({})
  const storedAt = c.wall() - 100_000
  const out = c.step({
    kind: 'queued-launch',
    seq: 1,
    user: 'me',
    key: null,
    storedAt,
    body: document({ job: task() }, { deadlines: { queue: '60s' } }),
    fault: null,
  })
  const { run } = out.find(
    (command): command is Extract<CoordinatorCommand, { kind: 'answer-queued' }> =>
      command.kind === 'answer-queued',
  )!
  expect(c.status(run!)).toMatchObject({ state: 'timed-out', code: 124 })
})
