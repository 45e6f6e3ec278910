/**
 * One launch of 16 workers → all 16 have told their pid, beside a bare Node loop that spawns 16 of the same
 * program; the two alternate.
 */
import { rowOf, type Measurement } from './measure.ts'
import { startFleet, task } from './fleet.ts'
import { ofLaunch } from './facts.ts'
import { fsyncTimes } from './machine.ts'
import { spawnLoop } from './spawn-loop.ts'
import { figureOf } from './stats.ts'

const WORKERS = 16
const PROGRAM = ['true']
const AIM_RATIO = 2

export const sixteen: Measurement = {
  name: 'sixteen',
  async run(bench) {
    const times = bench.quick ? 3 : 30
    const { troupe, facts, home, end } = await startFleet(bench, 1)
    const [ours, bare]: [number[], number[]] = [[], []]
    for (let i = -2; i < times; i++) {
      const name = `sixteen-${i + 2}`
      const [started, ended] = [
        facts.await('started', ofLaunch(name), { count: WORKERS }),
        facts.await('ended', ofLaunch(name)),
      ]
      const began = performance.now()
      await troupe.launch(task(name, PROGRAM, { replicas: WORKERS }))
      const { at } = await started
      await ended
      const { startedMs } = await spawnLoop(PROGRAM, WORKERS)
      if (i < 0) continue
      ours.push(at - began)
      bare.push(startedMs)
    }
    const fsync = fsyncTimes(home, 50)
    await end()
    const row = rowOf({
      what: `${WORKERS} workers started`,
      unit: 'ms',
      figure: figureOf(ours),
      beside: [
        { what: `bare spawn loop of ${WORKERS}`, unit: 'ms', ...figureOf(bare) },
        { what: 'fsync of the disk', unit: 'ms', ...figureOf(fsync) },
      ],
    })
    return [{ ...row, aim: { text: `≤ ${AIM_RATIO}x the bare loop`, met: row.ratio! <= AIM_RATIO } }]
  },
}
