import { afterEach, beforeEach, expect, test } from 'vitest'
import { streamOf } from '../../../src/protocol/table.ts'
import { FLEET, RUN, fakeFleet, runStatus, sleepMs, type FakeFleet } from '../../support/fake-fleet.ts'

const DOCUMENT = {
  apiVersion: 'troupe/v1',
  name: 'job',
  roles: { main: { kind: 'task', command: ['true'] } },
}

let fleet: FakeFleet
beforeEach(async () => {
  fleet = await fakeFleet()
})
afterEach(() => fleet.close())

async function stored(): Promise<number> {
  return (await fleet.messenger.bus.getMessages(streamOf(FLEET, 'LAUNCH'), { seq: 1, count: 10 })).length
}

test('a launch has a key of its own when none is given: two are two [+K7 FC-8]', async () => {
  await fleet.troupe.launch(DOCUMENT)
  await fleet.troupe.launch(DOCUMENT)
  const [first, second] = fleet.asked.map((request) => request.key)
  expect(first).toBeTruthy()
  expect(second).not.toBe(first)
})

test('an answer that never came is asked for again with the same key', async () => {
  fleet.coordinator(false)
  const launching = fleet.troupe.launch(DOCUMENT, { key: 'once' })
  await sleepMs(120)
  fleet.coordinator(true)
  expect(await launching).toMatchObject({ run: RUN, key: 'once' })
  expect(fleet.asked.map((request) => request.key)).toEqual(['once'])
  expect(await stored()).toBe(0)
})

test('text is read as YAML', async () => {
  await fleet.troupe.launch(
    'apiVersion: troupe/v1\nname: job\nroles: { main: { kind: task, command: ["true"] } }\n',
  )
  expect(fleet.asked[0]!.body).toEqual(DOCUMENT)
})

test('without a coordinator the launch lies with the bus until one comes, and this is said', async () => {
  fleet.coordinator(false)
  const said: string[] = []
  const launching = fleet.troupe.launch(DOCUMENT, { key: 'kept', onDurable: (key) => said.push(key) })
  await expect.poll(() => said, { timeout: 6000 }).toEqual(['kept'])
  expect(await stored()).toBe(1)
  fleet.answers.set('kept', { run: RUN, fault: null })
  fleet.coordinator(true)
  expect(await launching).toEqual({ run: RUN, existing: false, key: 'kept' })
})

test('by the durable door a refusal is the fault that a request would have got', async () => {
  fleet.answers.set('bad', {
    run: null,
    fault: { code: 'SPEC_INVALID', message: 'unknown key', data: {}, retryable: false },
  })
  await expect(fleet.troupe.launch(DOCUMENT, { key: 'bad', durable: true })).rejects.toMatchObject({
    code: 'SPEC_INVALID',
    exitCode: 2,
  })
})

test('no coordinator comes in time: the fault says that the launch is kept, and its key', async () => {
  fleet.coordinator(false)
  await expect(
    fleet.troupe.launch(DOCUMENT, { key: 'later', durable: true, timeoutMs: 200 }),
  ).rejects.toMatchObject({ code: 'TIMEOUT', data: { key: 'later' } })
  expect(await stored()).toBe(1)
})

test('durable: false does not go by that door', async () => {
  fleet.coordinator(false)
  await expect(fleet.troupe.launch(DOCUMENT, { durable: false })).rejects.toMatchObject({ code: 'CONN' })
  expect(await stored()).toBe(0)
})

test('run launches and waits for the end', async () => {
  fleet.onLaunch = () => {
    fleet.statuses.set(RUN, runStatus({ state: 'failed', code: 5, endedAt: 1 }))
    return RUN
  }
  expect(await fleet.troupe.run(DOCUMENT)).toMatchObject({ run: RUN, code: 5 })
})
