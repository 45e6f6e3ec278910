/**
 * Forks per second on one agent, durable: one launch of many short tasks, beside a bare Node loop that spawns
 * as many of the same program at once; the two alternate.
 */
import { rowOf, type Measurement } from './measure.ts'
import { startFleet, task } from './fleet.ts'
import { ofLaunch } from './facts.ts'
import { spawnLoop } from './spawn-loop.ts'
import { figureOf } from './stats.ts'

const PROGRAM = ['true']
/** HyperQueue on such a machine: DESIGN.md section 12 */
const PEER_PER_SECOND = 450

export const forks: Measurement = {
  name: 'forks',
  async run(bench) {
    const [times, workers] = bench.quick ? [1, 40] : [7, 400]
    const { troupe, facts, end } = await startFleet(bench, 1)
    const rates = {
      started: [] as number[],
      ended: [] as number[],
      bareStarted: [] as number[],
      bareEnded: [] as number[],
    }
    for (let i = -1; i < times; i++) {
      const name = `forks-${i + 1}`
      const ofThis = ofLaunch(name)
      const [started, exited, over] = [
        facts.await('started', ofThis, { count: workers }),
        facts.await('exited', ofThis, { count: workers }),
        facts.await('ended', ofThis),
      ]
      const began = performance.now()
      await troupe.launch(task(name, PROGRAM, { replicas: workers }))
      const [startedAt, exitedAt] = [(await started).at, (await exited).at]
      await over
      const bare = await spawnLoop(PROGRAM, workers)
      if (i < 0) continue
      rates.started.push((workers * 1000) / (startedAt - began))
      rates.ended.push((workers * 1000) / (exitedAt - began))
      rates.bareStarted.push((workers * 1000) / bare.startedMs)
      rates.bareEnded.push((workers * 1000) / bare.endedMs)
    }
    await end()
    const row = rowOf({
      what: `forks per second, one agent, ${workers} tasks`,
      unit: '1/s',
      figure: figureOf(rates.started),
      beside: [{ what: 'bare spawn loop', unit: '1/s', ...figureOf(rates.bareStarted) }],
    })
    return [
      {
        ...row,
        aim: {
          text: `≥ 1/2 of the bare loop, ≥ ${PEER_PER_SECOND}/s (HyperQueue)`,
          met: row.ratio! >= 0.5 && row.figure.p50 >= PEER_PER_SECOND,
        },
      },
      rowOf({
        what: `the same tasks ended, exit told`,
        unit: '1/s',
        figure: figureOf(rates.ended),
        beside: [{ what: 'bare spawn loop, all exits', unit: '1/s', ...figureOf(rates.bareEnded) }],
      }),
    ]
  },
}
