/**
 * Resident memory of agent and coordinator: at rest, and the most that they had while eight workers flooded
 * their logs. Beside: a Node process that does nothing.
 */
import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { flood, MIB } from './flood.ts'
import { startFleet } from './fleet.ts'
import { memoryOf } from './machine.ts'
import { rowOf, type Bench, type Beside, type Measurement, type Row } from './measure.ts'
import { figureOf, median } from './stats.ts'

const AIM_MB = { rest: 90, flooded: 150 }
const WORKERS = 8
const EVERY_MS = 50

export const memory: Measurement = {
  name: 'memory',
  async run(bench) {
    const fleet = await startFleet(bench, 1)
    const pids = { agent: fleet.info.pids.agents['n0']!, coordinator: fleet.info.pids.coordinator }
    const parts = ['agent', 'coordinator'] as const
    await sleep(bench.quick ? 500 : 5000)
    const rest = await sample(pids, sleep(bench.quick ? 200 : 1000))
    const { final, ended } = await flood(fleet, 'flood', WORKERS, (bench.quick ? 8 : 256) * MIB)
    const flooded = await sample(pids, final)
    await ended
    await fleet.end()
    const idle = await idleNode(bench)

    const row = (part: 'agent' | 'coordinator', when: 'rest' | 'flooded'): Row => {
      const { rss, pss } = (when === 'rest' ? rest : flooded)[part]
      const most = Math.max(...rss)
      return rowOf({
        what: `resident memory of the ${part}, ${when === 'rest' ? 'at rest' : `at most, ${WORKERS} workers flooding`}`,
        unit: 'MB',
        figure: when === 'rest' ? figureOf(rss) : { p50: most, p99: null, n: rss.length },
        beside: [idle],
        aim: { text: `≤ ${AIM_MB[when]} MB`, met: most <= AIM_MB[when] },
        notes: [
          `${(when === 'rest' ? median(pss) : Math.max(...pss)).toFixed(0)} MB with shared pages counted once (PSS)`,
        ],
      })
    }
    return parts.flatMap((part) => [row(part, 'rest'), row(part, 'flooded')])
  },
}

type Samples<P extends string> = Record<P, { rss: number[]; pss: number[] }>

/** Until something is over. */
async function sample<P extends string>(
  pids: Record<P, number>,
  over: Promise<unknown>,
): Promise<Samples<P>> {
  const samples = Object.fromEntries(
    Object.keys(pids).map((part) => [part, { rss: [], pss: [] }]),
  ) as unknown as Samples<P>
  const state = { over: false }
  const end = over.finally(() => (state.over = true))
  while (!state.over) {
    for (const [part, pid] of Object.entries(pids) as [P, number][]) {
      const { rss, pss } = memoryOf(pid)
      samples[part].rss.push(rss)
      samples[part].pss.push(pss)
    }
    await Promise.race([sleep(EVERY_MS), end])
  }
  await end
  return samples
}

async function idleNode({ teardown }: Bench): Promise<Beside> {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const end = teardown.add(() => (child.kill('SIGKILL'), exited))
  await sleep(500)
  const { rss } = memoryOf(child.pid!)
  await end()
  return { what: 'a Node process that waits', unit: 'MB', p50: rss, p99: null, n: 1 }
}
