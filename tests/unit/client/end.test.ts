import { afterEach, beforeEach, expect, test } from 'vitest'
import { byUser } from '../../../src/protocol/causes.ts'
import {
  exited,
  fakeFleet,
  pending,
  RUN,
  runStatus,
  sleepMs,
  worker,
  type FakeFleet,
} from '../../support/fake-fleet.ts'

let fleet: FakeFleet
beforeEach(async () => {
  fleet = await fakeFleet()
  fleet.statuses.set(RUN, runStatus({ workers: [worker('main', 0), worker('main', 1)] }))
})
afterEach(() => fleet.close())

function cancelled() {
  return runStatus({
    state: 'cancelled',
    code: 130,
    endedAt: 1,
    workers: [worker('main', 0, exited(143, byUser('ann'))), worker('main', 1, exited(143, byUser('ann')))],
  })
}

test('stop returns with the receipt of every worker, not when the order is accepted [U-06]', async () => {
  const stopping = fleet.troupe.stop(RUN)
  await fleet.nextAsked('stop')
  fleet.statuses.set(
    RUN,
    runStatus({
      state: 'stopping',
      workers: [worker('main', 0, exited(143, byUser('ann'))), worker('main', 1, { state: 'stopping' })],
    }),
  )
  const looked = fleet.nextAsked('status')
  await fleet.workerEvent('gone', `${RUN}.main.0.1`)
  await looked
  fleet.statuses.set(RUN, cancelled())
  await fleet.runEvent('ended')
  expect((await stopping).receipts.map(({ worker: id, outcome }) => [id, outcome])).toEqual([
    [`${RUN}/main/0`, 'gone'],
    [`${RUN}/main/1`, 'gone'],
  ])
})

test('one worker: its own receipt ends the wait, the run goes on', async () => {
  fleet.onEnd = () =>
    fleet.statuses.set(
      RUN,
      runStatus({ workers: [worker('main', 0), worker('main', 1, exited(137, byUser('ann')))] }),
    )
  const { receipts, status } = await fleet.troupe.kill(`${RUN}/main/1`)
  expect(receipts.map((receipt) => receipt.worker)).toEqual([`${RUN}/main/1`])
  expect(status.state).toBe('running')
})

test('a worker that never started has nothing to prove', async () => {
  fleet.onEnd = () =>
    fleet.statuses.set(
      RUN,
      runStatus({
        state: 'cancelled',
        endedAt: 1,
        workers: [worker('main', 0, exited(143)), worker('main', 1, { ...pending, state: 'exited' })],
      }),
    )
  expect((await fleet.troupe.stop(RUN)).receipts).toHaveLength(1)
})

test('a run that has ended: its receipts again, and no order is needed twice', async () => {
  fleet.statuses.set(RUN, cancelled())
  expect((await fleet.troupe.kill(RUN)).receipts).toHaveLength(2)
})

test('no proof in time: a failure that names the worker and, when its node is lost, --force', async () => {
  fleet.statuses.set(
    RUN,
    runStatus({ state: 'stopping', workers: [worker('main', 0, { state: 'lost', ready: false })] }),
  )
  await expect(fleet.troupe.stop(RUN, { timeoutMs: 100 })).rejects.toMatchObject({
    code: 'FAILED',
    exitCode: 1,
    message: expect.stringContaining(`${RUN}/main/0`),
    hint: expect.stringContaining('--force'),
  })
})

test('the order waits for a coordinator that fails over', async () => {
  fleet.coordinator(false)
  fleet.onEnd = () => fleet.statuses.set(RUN, cancelled())
  const killing = fleet.troupe.kill(RUN, { force: true })
  await sleepMs(100)
  fleet.coordinator(true)
  await killing
  expect(fleet.asked.filter(({ verb }) => verb === 'kill')).toEqual([
    { verb: 'kill', body: { run: RUN, force: true }, key: undefined },
  ])
})

test('a rank cannot be stopped, but can be signalled', async () => {
  await expect(fleet.troupe.stop(`${RUN}/main:1`)).rejects.toMatchObject({ code: 'USAGE' })
  await fleet.troupe.signal(`${RUN}/main:1`, 'SIGUSR1')
  expect(fleet.asked.at(-1)).toMatchObject({
    verb: 'signal',
    body: { run: RUN, role: 'main', rank: 1, signal: 'SIGUSR1' },
  })
  const before = fleet.asked.length
  for (const to of ['root', 'tree'] as const)
    await expect(fleet.troupe.signal(`${RUN}/main:1`, 'SIGUSR1', { to })).rejects.toMatchObject({
      code: 'USAGE',
      message: `a rank is one process: it is not the ${to} of its worker`,
    })
  expect(fleet.asked).toHaveLength(before)
  await fleet.troupe.signal(`${RUN}/main:1`, 'SIGUSR1', { to: 'ranks' })
  expect(fleet.asked).toHaveLength(before + 1)
})

test('one rank of several would end by a signal: the others have it, and that one is told; all of them: the fault', async () => {
  const of = (rank: number) => ({ worker: `${RUN}/main:${rank}`, reason: `rank ${rank} would end` })
  fleet.refused = [of(1)]
  const told: unknown[] = []
  const sent = await fleet.troupe.signal(`${RUN}/main:0-1`, 'SIGUSR1', { onRefused: (one) => told.push(one) })
  expect(sent).toEqual([`${RUN}/main/0`])
  expect(told).toEqual([of(1)])
  fleet.refused = [of(0), of(1)]
  await expect(fleet.troupe.signal(`${RUN}/main:0-1`, 'SIGUSR1')).rejects.toMatchObject({
    code: 'FAILED',
    message: 'rank 0 would end',
  })
})
