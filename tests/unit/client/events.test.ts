import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  RUN,
  fakeFleet,
  collect,
  runStatus,
  until,
  worker,
  type FakeFleet,
} from '../../support/fake-fleet.ts'

let fleet: FakeFleet
beforeEach(async () => {
  fleet = await fakeFleet()
  fleet.statuses.set(RUN, runStatus())
})
afterEach(() => fleet.close())

/** Watch until an event `ended`; what was seen so far, in order. */
function watchToEnd() {
  const seen: string[] = []
  const watch = async (): Promise<string[]> => {
    for await (const event of fleet.troupe.watch(RUN)) {
      seen.push(`${event.what}${'role' in event ? ` ${event.role}/${event.index}` : ''}`)
      if (event.what === 'ended') break
    }
    return seen
  }
  return { end: watch(), has: (count: number) => until(`${count} events`, () => seen.length >= count) }
}

test('a watcher gets what was told before it came, then what comes, each once', async () => {
  await fleet.runEvent('accepted', { state: 'pending' })
  await fleet.workerEvent('started', `${RUN}.main.0.1`)
  const watching = watchToEnd()
  await watching.has(2)
  await fleet.workerEvent('exited', `${RUN}.main.0.1`)
  await fleet.runEvent('ended', { state: 'succeeded' })
  expect(await watching.end).toEqual(['accepted', 'started main/0', 'exited main/0', 'ended'])
})

test('events that were told while the link was down are there after it is back, none twice', async () => {
  await fleet.runEvent('accepted', { state: 'pending' })
  const watching = watchToEnd()
  await watching.has(1)
  fleet.client.setLink(false)
  await fleet.runEvent('running')
  await fleet.workerEvent('started', `${RUN}.main.0.1`)
  fleet.client.setLink(true)
  await watching.has(3)
  await fleet.runEvent('ended', { state: 'succeeded' })
  expect(await watching.end).toEqual(['accepted', 'running', 'started main/0', 'ended'])
})

test('the copy that is read first lacks what was told before the watcher listened: it comes a moment later', async () => {
  await fleet.runEvent('accepted', { state: 'pending' })
  await fleet.workerEvent('started', `${RUN}.main.0.1`)
  let reads = 0
  fleet.behind = () => (reads++ < 2 ? 1 : 0)
  const watching = watchToEnd()
  await watching.has(2)
  await fleet.runEvent('ended', { state: 'succeeded' })
  expect(await watching.end).toEqual(['accepted', 'started main/0', 'ended'])
})

test('an event that comes twice with one id is given once', async () => {
  await fleet.runEvent('accepted')
  const watching = watchToEnd()
  await watching.has(1)
  await fleet.runEvent('running', { id: 'same' })
  await fleet.runEvent('running', { id: 'same' })
  await fleet.runEvent('ended', { id: 'other' })
  expect(await watching.end).toEqual(['accepted', 'running', 'ended'])
})

test('the past alone ends at its end; events of other runs are not in it', async () => {
  await fleet.runEvent('accepted')
  await fleet.runEvent('accepted', { run: 'other-0123456789ab' })
  expect((await collect(fleet.troupe.watch(RUN, { live: false }))).length).toBe(1)
  expect((await collect(fleet.troupe.watch(undefined, { live: false }))).length).toBe(2)
})

test('a watcher that gives up leaves nothing subscribed', async () => {
  const controller = new AbortController()
  const watching = collect(fleet.troupe.watch(RUN, { signal: controller.signal }))
  await fleet.nextAsked('status')
  controller.abort()
  expect(await watching).toEqual([])
})

test('a worker’s events are those of its handle, and the run’s; of one that is not there: not found', async () => {
  fleet.statuses.set(RUN, runStatus({ workers: [worker('main', 0), worker('main', 1)] }))
  await fleet.runEvent('running')
  await fleet.workerEvent('started', `${RUN}.main.0.1`)
  await fleet.workerEvent('started', `${RUN}.main.1.1`)
  const events = await collect(fleet.troupe.watch(`${RUN}/main/1`, { live: false }))
  expect(events.map((event) => ('index' in event ? event.index : event.what))).toEqual(['running', 1])
  await expect(collect(fleet.troupe.watch(`${RUN}/main/2`, { live: false }))).rejects.toMatchObject({
    code: 'WORKER_NOT_FOUND',
    message: expect.stringContaining('main/2'),
  })
})
