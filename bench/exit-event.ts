/**
 * A worker's end → its `exited` event at a subscriber. The worker is ended by a SIGKILL from here, so that
 * one monotonic clock stamps both ends. Beside: a bare child of ours that is killed in the same way, until
 * Node tells its exit.
 */
import { spawn } from 'node:child_process'
import { rowOf, type Measurement } from './measure.ts'
import { startFleet, task } from './fleet.ts'
import { ofLaunch } from './facts.ts'
import { figureOf, repeat } from './stats.ts'

const SLEEP = ['sleep', '600']
const AIM_P99_MS = 20

export const exitEvent: Measurement = {
  name: 'exit',
  async run(bench) {
    const [rounds, workers] = bench.quick ? [1, 5] : [5, 60]
    const { troupe, facts, end } = await startFleet(bench, 1)
    const ours: number[] = []
    for (let i = 0; i < rounds; i++) {
      const name = `exit-${i}`
      const started = facts.await('started', ofLaunch(name), { count: workers })
      const over = facts.await('ended', ofLaunch(name))
      const { run } = await troupe.launch(task(name, SLEEP, { replicas: workers, failFast: false }))
      await started
      for (const { index, pid } of (await troupe.status(run)).workers) {
        const exited = facts.await('exited', (fact) => fact.run === run && fact.index === index)
        const began = performance.now()
        process.kill(pid!, 'SIGKILL')
        ours.push((await exited).at - began)
      }
      await over
    }
    await end()
    const bare = await repeat(rounds * workers, killBare)
    const figure = figureOf(ours)
    return [
      rowOf({
        what: 'worker exit → event at a subscriber',
        unit: 'ms',
        figure,
        beside: [{ what: 'bare child → Node’s exit event', unit: 'ms', ...figureOf(bare) }],
        aim: { text: `p99 ≤ ${AIM_P99_MS} ms`, met: (figure.p99 ?? figure.p50) <= AIM_P99_MS },
      }),
    ]
  },
}

function killBare(): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(SLEEP[0]!, SLEEP.slice(1), { stdio: 'ignore' })
    child.once('error', reject)
    child.once('spawn', () => {
      const began = performance.now()
      child.once('exit', () => resolve(performance.now() - began))
      child.kill('SIGKILL')
    })
  })
}
