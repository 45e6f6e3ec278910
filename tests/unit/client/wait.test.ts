import { afterEach, beforeEach, expect, test } from 'vitest'
import { byUser } from '../../../src/protocol/causes.ts'
import { whyNot } from '../../../src/client/points.ts'
import type { RunStatus } from '../../../src/protocol/shapes.ts'
import {
  exited,
  fakeFleet,
  pending,
  RUN,
  runStatus,
  until,
  worker,
  type FakeFleet,
} from '../../support/fake-fleet.ts'

let fleet: FakeFleet
beforeEach(async () => {
  fleet = await fakeFleet()
})
afterEach(() => fleet.close())

function set(over: Partial<RunStatus>): void {
  return void fleet.statuses.set(RUN, runStatus(over))
}
function ended(code: number, over: Partial<RunStatus> = {}): Partial<RunStatus> {
  return {
    state: code === 0 ? 'succeeded' : 'failed',
    code,
    endedAt: 1_700_000_006_000,
    workers: [worker('main', 0, exited(code))],
    ...over,
  }
}

test('a run that has ended is not waited for, and gives its code [R-10]', async () => {
  set(ended(7))
  expect(await fleet.troupe.wait(RUN)).toMatchObject({
    reached: true,
    ok: false,
    code: 7,
    status: { state: 'failed' },
  })
})

test('the end is seen by its event, long before anybody looks again', async () => {
  set({})
  const began = performance.now()
  const waiting = fleet.troupe.wait(RUN)
  await fleet.nextAsked('status')
  set(ended(0))
  await fleet.runEvent('ended', { state: 'succeeded' })
  expect((await waiting).code).toBe(0)
  expect(performance.now() - began).toBeLessThan(2000)
})

test('an event that says "ended" is not believed when the status says otherwise', async () => {
  set({})
  const waiting = fleet.troupe.wait(RUN, { timeoutMs: 300 })
  waiting.catch(() => {})
  await fleet.nextAsked('status')
  await fleet.runEvent('ended', { state: 'succeeded', code: 0 })
  await expect(waiting).rejects.toMatchObject({ code: 'WORKER_TIMEOUT', exitCode: 124 })
})

test('an end that was told while the link was down is seen when it is back', async () => {
  set({})
  const waiting = fleet.troupe.wait(RUN)
  await fleet.nextAsked('status')
  fleet.client.setLink(false)
  set(ended(0))
  await fleet.runEvent('ended')
  fleet.client.setLink(true)
  expect((await waiting).code).toBe(0)
})

test('a coordinator that fails over meanwhile is asked again', async () => {
  set({})
  const trouble: string[] = []
  const waiting = fleet.troupe.wait(RUN, { onTrouble: (fault) => trouble.push(fault.code) })
  await fleet.nextAsked('status')
  fleet.coordinator(false)
  await fleet.runEvent('running')
  await until('it says so', () => trouble.includes('CONN'))
  set(ended(3))
  fleet.coordinator(true)
  expect((await waiting).code).toBe(3)
})

test('wait --for ready: 0 once all are ready, while the run goes on [A-05 +A9]', async () => {
  set({ workers: [worker('main', 0), worker('main', 1, { ready: false })] })
  const waiting = fleet.troupe.wait(RUN, { for: 'ready' })
  await fleet.nextAsked('status')
  set({ workers: [worker('main', 0), worker('main', 1)] })
  await fleet.workerEvent('ready', `${RUN}.main.1.1`)
  expect(await waiting).toMatchObject({ reached: true, ok: true, code: 0, status: { state: 'running' } })
})

test('wait --for ready: a run that ended without is its code, and never 0 [FC-24]', async () => {
  set(ended(7))
  expect(await fleet.troupe.wait(RUN, { for: 'ready' })).toMatchObject({ reached: false, ok: false, code: 7 })
  set({ state: 'cancelled', code: 0, endedAt: 1, workers: [worker('main', 0, { ...pending })] })
  expect(await fleet.troupe.wait(RUN, { for: 'ready' })).toMatchObject({ reached: false, ok: false, code: 1 })
})

test('wait --for ready: what was ready once and has failed since: reached, and the run’s code', async () => {
  await fleet.workerEvent('ready', `${RUN}.main.0.1`)
  set(ended(7))
  expect(await fleet.troupe.wait(RUN, { for: 'ready' })).toMatchObject({ reached: true, ok: false, code: 7 })
})

test('wait --for ready: a service that was ready until its run succeeded is ready no more: 1', async () => {
  await fleet.workerEvent('ready', `${RUN}.main.0.1`)
  set(ended(0))
  expect(await fleet.troupe.wait(RUN, { for: 'ready' })).toMatchObject({ reached: true, ok: false, code: 1 })
})

test('wait --for ready: a worker that was ready and is not now is waited for', async () => {
  await fleet.workerEvent('ready', `${RUN}.main.0.1`)
  set({ workers: [worker('main', 0, { ready: false, reason: 'its probe was refused' })] })
  await expect(fleet.troupe.wait(RUN, { for: 'ready', timeoutMs: 100 })).rejects.toMatchObject({
    code: 'WORKER_TIMEOUT',
  })
})

test('wait --for ready: beside a task that is done with 0 the others’ readiness counts', async () => {
  set({ workers: [worker('main', 0, exited(0)), worker('main', 1)] })
  expect(await fleet.troupe.wait(RUN, { for: 'ready' })).toMatchObject({ reached: true, ok: true, code: 0 })
})

test('wait --for ready of one worker: without a probe it was ready when it was started', async () => {
  await fleet.workerEvent('started', `${RUN}.main.0.1`, { ready: true })
  await fleet.workerEvent('started', `${RUN}.main.1.1`, { ready: false })
  set({ ...ended(7), workers: [worker('main', 0, exited(7)), worker('main', 1, exited(7))] })
  const [was, wasNot] = await Promise.all(
    [0, 1].map((index) => fleet.troupe.wait(`${RUN}/main/${index}`, { for: 'ready' })),
  )
  expect(was).toMatchObject({ reached: true, ok: false, code: 7 })
  expect(wasNot).toMatchObject({ reached: false, ok: false, code: 7 })
})

test('wait --for ready of a worker that was stopped before: the code of its run, never 0', async () => {
  set({
    state: 'cancelled',
    code: 130,
    endedAt: 1,
    workers: [worker('main', 0, exited(0, byUser('ann'))), worker('main', 1, exited(143, byUser('ann')))],
  })
  expect(await fleet.troupe.wait(`${RUN}/main/1`, { for: 'ready' })).toMatchObject({
    ok: false,
    code: 130,
  })
})

test('a worker or rank that the run has not: not found, with the handle', async () => {
  set({})
  await expect(fleet.troupe.wait(`${RUN}/main/9`)).rejects.toMatchObject({
    code: 'WORKER_NOT_FOUND',
    message: expect.stringContaining('main/9'),
  })
  await expect(fleet.troupe.wait(`${RUN}/main:1`)).rejects.toMatchObject({
    code: 'WORKER_NOT_FOUND',
    message: expect.stringContaining('no ranks'),
  })
  await expect(fleet.troupe.status(`${RUN}/trainer`)).rejects.toMatchObject({
    code: 'WORKER_NOT_FOUND',
    hint: 'it has main',
  })
})

test('a stop that takes long says which worker it waits for, and why', async () => {
  expect(
    whyNot(
      runStatus({
        state: 'stopping',
        reason: 'stopped by ann',
        workers: [
          worker('main', 0, exited(0)),
          worker('main', 1, { state: 'stopping', reason: 'node n1 is suspect' }),
        ],
      }),
      'done',
    ),
  ).toBe(`${RUN} is stopping: stopped by ann; main/1: node n1 is suspect`)
})

test('wait --for running: reached when it was running once, as the events say; the code is the run’s', async () => {
  await fleet.runEvent('running')
  set(ended(7))
  expect(await fleet.troupe.wait(RUN, { for: 'running' })).toMatchObject({
    reached: true,
    ok: false,
    code: 7,
  })
  set(ended(0))
  expect(await fleet.troupe.wait(RUN, { for: 'running' })).toMatchObject({ reached: true, ok: true, code: 0 })
})

test('wait --for running: the copy that is read first lacks what was told last: it is read again', async () => {
  await fleet.runEvent('running')
  await fleet.runEvent('ended')
  let reads = 0
  fleet.behind = () => (reads++ === 0 ? 2 : 0)
  set(ended(7))
  expect(await fleet.troupe.wait(RUN, { for: 'running' })).toMatchObject({ reached: true, code: 7 })
})

test('waiting for one worker: its own exit counts; one that we stopped is no failure', async () => {
  set({
    workers: [worker('main', 0, exited(9)), worker('main', 1, exited(143, byUser('ann'))), worker('main', 2)],
  })
  expect((await fleet.troupe.wait(`${RUN}/main/0`)).code).toBe(9)
  expect((await fleet.troupe.wait(`${RUN}/main/1`)).code).toBe(0)
})

test('waiting for one worker whose readiness probe ran out of time: a failure, also when it exits 0', async () => {
  set(
    ended(1, {
      workers: [
        worker('main', 0, exited(0, { by: 'not-ready' })),
        worker('main', 1, exited(143, { by: 'not-ready' })),
      ],
    }),
  )
  expect((await fleet.troupe.wait(`${RUN}/main/0`)).code).toBe(1)
  expect((await fleet.troupe.wait(`${RUN}/main/1`)).code).toBe(143)
})

test('a role that the run has not: not found, with those it has', async () => {
  set({})
  await expect(fleet.troupe.wait(`${RUN}/trainer`)).rejects.toMatchObject({
    code: 'WORKER_NOT_FOUND',
    hint: 'it has main',
  })
})

test('a timeout is 124 and says why it waits', async () => {
  set({ state: 'pending', reason: 'waiting for nodes: 2 more', workers: [worker('main', 0, pending)] })
  await expect(fleet.troupe.wait(RUN, { timeoutMs: 100 })).rejects.toMatchObject({
    code: 'WORKER_TIMEOUT',
    message: expect.stringContaining('waiting for nodes: 2 more'),
  })
})

test('a timeout of one worker gives its own reason, not that of another', async () => {
  set({
    workers: [
      worker('main', 0, { ready: false, reason: 'its probe was refused' }),
      worker('main', 1, { ready: false, reason: 'a stranger has its port' }),
    ],
  })
  await expect(fleet.troupe.wait(`${RUN}/main/1`, { timeoutMs: 100 })).rejects.toMatchObject({
    code: 'WORKER_TIMEOUT',
    message: expect.stringContaining('a stranger has its port'),
  })
})

test('an unknown run: not found, with the nearest', async () => {
  set({})
  await expect(fleet.troupe.wait('job-ffffffffffff')).rejects.toMatchObject({ code: 'WORKER_NOT_FOUND' })
})
