import { afterEach, beforeEach, expect, test } from 'vitest'
import { Fault } from '../../../src/protocol/faults.ts'
import { fakeFleet, RUN, type FakeFleet } from '../../support/fake-fleet.ts'

let fleet: FakeFleet
beforeEach(async () => {
  fleet = await fakeFleet()
})
afterEach(() => fleet.close())

test('a whole id that no run has: told as any other word', async () => {
  await expect(fleet.troupe.status(RUN)).rejects.toMatchObject({
    code: 'WORKER_NOT_FOUND',
    message: `there is no run '${RUN}'`,
  })
})

test('a run that is missing since history was lost: the coordinator’s own answer is passed on', async () => {
  const message = `no run '${RUN}'; history was lost`
  fleet.onStatus = () => {
    throw new Fault('WORKER_NOT_FOUND', message, { data: { run: RUN, reason: 'lost' } })
  }
  await expect(fleet.troupe.status(RUN)).rejects.toMatchObject({ code: 'WORKER_NOT_FOUND', message })
  await expect(fleet.troupe.kill(RUN)).rejects.toMatchObject({ code: 'WORKER_NOT_FOUND' })
})
