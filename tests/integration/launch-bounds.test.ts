/**
 * Launches at and beyond their bounds, on a real server by both doors, while another run lives: what is
 * beyond is refused with both numbers and leaves the queue, what is within runs, and others can launch all
 * the time.
 */
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { encode } from '../../src/protocol/codec.ts'
import { subjectOf } from '../../src/protocol/subjects.ts'
import { HEADERS } from '../../src/protocol/table.ts'
import { messengerOn, type Messenger } from '../../src/transport/messenger.ts'
import { connectNats } from '../../src/transport/nats/bus.ts'
import { startFleet, task, until, type Fleet } from '../support/fleet.ts'

let fleet: Fleet
let people: Messenger
beforeAll(async () => {
  fleet = await startFleet()
  const { info } = fleet
  const credentials = JSON.parse(await readFile(info.credentials.client, 'utf8'))
  people = messengerOn(
    await connectNats({ servers: info.url, credentials, name: 'test' }),
    info.fleet,
    'json',
  )
})
afterAll(async () => {
  await people?.bus.close()
  await fleet.end()
})

function document(name: string, roles: number, role: object, more: object = {}): Record<string, unknown> {
  const all = Array.from({ length: roles }, (_, i) => [`r${i}`, { kind: 'task', command: ['true'], ...role }])
  return { apiVersion: 'troupe/v1', name, roles: Object.fromEntries(all), ...more }
}

/** Roles that wait for a first one which goes on. */
function waiting(name: string, roles: number, replicas: number): Record<string, unknown> {
  const body = document(name, roles, { replicas, dependsOn: { first: 'done' } })
  const first = { kind: 'task', command: ['sleep', '600'] }
  return { ...body, roles: { first, ...(body['roles'] as object) } }
}

type Answer = { run: string | null; fault: { code: string; message: string } | null }

/** What the durable door says of it, in the time of one try. */
async function queued(body: Record<string, unknown>, key: string): Promise<Answer> {
  await people.bus.append(
    subjectOf(people.fleet, 'launch', { user: fleet.info.user }),
    encode(body, 'json'),
    {
      headers: { [HEADERS.key]: key },
    },
  )
  return until(`an answer for ${key}`, () =>
    people.ask('coordinator.answer', { user: fleet.info.user }, { key }).catch(() => null),
  ) as Promise<Answer>
}
async function asked(body: Record<string, unknown>, key: string): Promise<Answer> {
  return people
    .ask('coordinator.launch', { user: fleet.info.user }, body, {
      headers: { [HEADERS.key]: key },
      timeoutMs: 10_000,
    })
    .then(
      ({ run }) => ({ run, fault: null }),
      (fault: { code: string; message: string }) => ({ run: null, fault }),
    )
}

test('beyond the bounds, beside a live run: refused by both doors with both numbers; the coordinator stays and others launch', async () => {
  const launched = await fleet.troupe(['launch', '-f', '-', '-q'], { input: task('live', ['sleep', '600']) })
  const live = launched.stdout.trim()
  const { coordinator } = fleet.info.pids
  const big = { BIG: 'x'.repeat(100_000) }
  for (const [name, body, numbers] of [
    [
      'many',
      document('many', 11, { replicas: 10_000 }),
      /110000 workers in 11 roles; a run has at most 20000/,
    ],
    ['deep', waiting('deep', 3, 10_000), /30001 workers in 4 roles; a run has at most 20000/],
    ['large', document('large', 30, { env: big }), /has 30\d{5} bytes .*; at most 2097152/],
  ] as const)
    for (const [door, answer] of [
      ['request', await asked(body, `${name}-request`)],
      ['durable', await queued(body, `${name}-durable`)],
    ] as const)
      expect({ door, ...answer }).toMatchObject({
        door,
        run: null,
        fault: { code: 'SPEC_INVALID', message: expect.stringMatching(numbers) },
      })
  const ran = await fleet.troupe(['run', '--', 'echo', 'hi'])
  expect(ran).toMatchObject({ code: 0, stdout: 'hi\n' })
  expect(await fleet.json(['status', live])).toMatchObject({ state: 'running' })
  expect((await fleet.repair()).pids.coordinator).toBe(coordinator)
  expect(await fleet.troupe(['stop', live])).toMatchObject({ code: 0 })
})

test('50 roles with 100 kB of environment that all share run, by both doors', async () => {
  const command = ['sh', '-c', 'test ${#BIG} = 100000']
  const body = document('shared', 50, { command }, { env: { BIG: 'x'.repeat(100_000) } })
  for (const [answer, key] of [
    [await asked(body, 'shared-request'), 'shared-request'],
    [await queued(body, 'shared-durable'), 'shared-durable'],
  ] as const) {
    expect(answer, key).toMatchObject({ fault: null })
    expect(await fleet.troupe(['wait', answer.run!, '--timeout', '90s']), key).toMatchObject({ code: 0 })
  }
})

test('16,001 workers of which all but one wait, by both doors beside a live run: seen, stopped and killed', async () => {
  const launched = await fleet.troupe(['launch', '-f', '-', '-q'], {
    input: task('beside', ['sleep', '600']),
  })
  const beside = launched.stdout.trim()
  for (const [answer, end] of [
    [await asked(waiting('wide', 2, 8000), 'wide-request'), 'stop'],
    [await queued(waiting('wide', 2, 8000), 'wide-durable'), 'kill'],
  ] as const) {
    expect(answer).toMatchObject({ fault: null })
    const run = answer.run!
    expect((await fleet.json<{ run: string }[]>(['ps'])).map((one) => one.run)).toContain(run)
    const { workers } = await fleet.json<{ workers: unknown[] }>(['status', run])
    expect(workers).toHaveLength(16_001)
    expect(await fleet.troupe([end, run]), end).toMatchObject({ code: 0 })
    expect(await fleet.json(['status', run])).toMatchObject({ state: 'cancelled' })
  }
  expect(await fleet.json(['status', beside])).toMatchObject({ state: 'running' })
  expect(await fleet.troupe(['kill', beside])).toMatchObject({ code: 0 })
})
