import { afterEach, beforeEach, expect, test } from 'vitest'
import { cli } from '../../support/cli.ts'
import { fakeFleet, RUN, runStatus, type FakeFleet } from '../../support/fake-fleet.ts'

let fleet: FakeFleet
beforeEach(async () => void (fleet = await fakeFleet()))
afterEach(() => fleet.close())

test('ranks that are told again with the same numbers are one line; each is one with --json', async () => {
  fleet.statuses.set(RUN, runStatus())
  const rank = (state: 'running' | 'exited', pid: number | null) =>
    ({ rank: 0, localRank: 0, restart: 0, pid, state, exit: null, startedAt: null, exitedAt: null }) as const
  const states = [rank('running', null), rank('running', 7), rank('exited', 7)]
  for (const state of states) await fleet.workerEvent('ranks', `${RUN}.main.0.1`, { ranks: [state] })
  await fleet.workerEvent('ranks', `${RUN}.main.1.1`, { ranks: [rank('exited', 8)] })
  const { stdout } = await cli(['events', RUN], { troupe: fleet.troupe })
  expect(stdout.split('\n').map((line) => line.replace(/^\S+ +/, ''))).toEqual([
    `${RUN}/main/0  ranks  1 of 1 run`,
    `${RUN}/main/0  ranks  0 of 1 run`,
    `${RUN}/main/1  ranks  0 of 1 run`,
    '',
  ])
  const asJson = await cli(['events', RUN, '--json'], { troupe: fleet.troupe })
  expect(asJson.stdout.trim().split('\n')).toHaveLength(4)
})
