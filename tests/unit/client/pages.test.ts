import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  exited,
  fakeFleet,
  pending,
  RUN,
  runStatus,
  worker,
  type FakeFleet,
} from '../../support/fake-fleet.ts'
import type { RunStatus } from '../../../src/protocol/shapes.ts'

let fleet: FakeFleet
beforeEach(async () => {
  fleet = await fakeFleet()
  fleet.pageCount = 100
})
afterEach(() => fleet.close())

const SIZE = 1000
function big(over: Partial<RunStatus> = {}, each: Parameters<typeof worker>[2] = {}): RunStatus {
  return runStatus({ ...over, workers: Array.from({ length: SIZE }, (_, i) => worker('main', i, each)) })
}
function cancelled(): RunStatus {
  return big({ state: 'cancelled', code: 130, endedAt: 1 }, exited(143, { by: 'user', name: 'ann' }))
}
function asked(verb: string) {
  return fleet.asked.filter((one) => one.verb === verb)
}

test('a status, the list and the nodes are joined from their pages', async () => {
  fleet.statuses.set(RUN, big())
  expect((await fleet.troupe.status(RUN)).workers).toHaveLength(SIZE)
  expect(asked('status')).toHaveLength(SIZE / fleet.pageCount)
  fleet.pageCount = 2
  for (let i = 0; i < 5; i++)
    fleet.statuses.set(`r${i}-0123456789ab`, runStatus({ run: `r${i}-0123456789ab` }))
  expect(await fleet.troupe.list()).toHaveLength(6)
})

test('a run that ends between two pages is read once more: its head and its workers belong together', async () => {
  fleet.statuses.set(RUN, big())
  let pages = 0
  fleet.onStatus = () => void (++pages === 3 && fleet.statuses.set(RUN, cancelled()))
  const status = await fleet.troupe.status(RUN)
  expect(status.state).toBe('cancelled')
  expect(status.workers.filter((w) => w.state !== 'exited')).toEqual([])
})

test('kill of a large run: the order leaves before any status is read, and the receipts are all there', async () => {
  fleet.statuses.set(RUN, big())
  fleet.onEnd = () => fleet.statuses.set(RUN, cancelled())
  const { receipts } = await fleet.troupe.kill(RUN)
  expect(fleet.asked[0]!.verb).toBe('kill')
  expect(receipts).toHaveLength(SIZE)
})

test('stop of a role of a large run waits by the count of its ended workers', async () => {
  fleet.statuses.set(RUN, big())
  fleet.onEnd = () => fleet.statuses.set(RUN, big({}, exited(143, { by: 'user', name: 'ann' })))
  expect((await fleet.troupe.stop(`${RUN}/main`)).receipts).toHaveLength(SIZE)
})

test('stop of one worker asks for that worker alone while it waits', async () => {
  const workers = big().workers
  fleet.statuses.set(RUN, runStatus({ workers }))
  fleet.onEnd = () =>
    fleet.statuses.set(
      RUN,
      runStatus({
        workers: workers.with(700, worker('main', 700, exited(143, { by: 'user', name: 'ann' }))),
      }),
    )
  const { receipts } = await fleet.troupe.stop(`${RUN}/main/700`)
  expect(receipts.map((receipt) => receipt.worker)).toEqual([`${RUN}/main/700`])
  expect(asked('status')[0]!.body).toMatchObject({ role: 'main', index: 700 })
})

test('wait for a large run to be ready: one page is looked at until the head says that all were', async () => {
  fleet.statuses.set(RUN, big({}, { ready: false }))
  const waiting = fleet.troupe.wait(RUN, { for: 'ready' })
  await fleet.runEvent('running')
  const before = asked('status').length
  fleet.statuses.set(RUN, big())
  await fleet.workerEvent('ready', `${RUN}.main.1.1`)
  expect(await waiting).toMatchObject({ reached: true, ok: true, code: 0 })
  expect(before).toBeLessThan(5)
})

test('wait for ready of a large run that ended: its workers were ready once, as the events say, and its code', async () => {
  const failed = big({ state: 'failed', code: 7, endedAt: 1 }, exited(7))
  fleet.statuses.set(RUN, failed)
  expect(await fleet.troupe.wait(RUN, { for: 'ready' })).toMatchObject({ reached: false, code: 7 })
  for (let i = 0; i < SIZE; i++) await fleet.workerEvent('ready', `${RUN}.main.${i}.1`)
  expect(await fleet.troupe.wait(RUN, { for: 'ready' })).toMatchObject({ reached: true, ok: false, code: 7 })
})

test('no proof in time of many workers: eight are named, and the number of the others', async () => {
  fleet.statuses.set(RUN, big({ state: 'stopping' }, { state: 'stopping' }))
  await expect(fleet.troupe.stop(RUN, { timeoutMs: 100 })).rejects.toMatchObject({
    message: expect.stringContaining(`${RUN}/main/7 and 992 more have no receipt`),
    data: { workers: { length: SIZE } },
  })
})

test('a word is looked for among live and lately ended runs, and then among all', async () => {
  fleet.pageCount = 200
  for (let i = 0; i < 900; i++) {
    const run = `r${i}-0123456789ab`
    fleet.statuses.set(
      run,
      runStatus({ run, name: `r${i}`, acceptedAt: 1e12 - i, endedAt: 1, state: 'failed' }),
    )
  }
  expect(await fleet.troupe.resolve('last')).toEqual([{ run: 'r0-0123456789ab' }])
  expect(asked('list').length).toBeLessThanOrEqual(4)
  expect(await fleet.troupe.resolve('r899')).toEqual([{ run: 'r899-0123456789ab' }])
})

test('the list says why it is not whole', async () => {
  fleet.statuses.set(RUN, runStatus({ workers: [worker('main', 0, pending)] }))
  fleet.partial = 'the archive of ended runs cannot be read now'
  const why: string[] = []
  await fleet.troupe.list({ all: true, onPartial: (text) => why.push(text) })
  expect(why).toEqual([fleet.partial])
})
