/**
 * Memory, descriptors and tombstones while many small runs come and go: what a part has at the end, beside
 * what it had after the first tenth. `--minutes N` makes it long.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { rowOf, type Bench, type Measurement, type Row } from './measure.ts'
import { ofLaunch } from './facts.ts'
import { startFleet, task, type BenchFleet } from './fleet.ts'
import { memoryOf } from './machine.ts'

const SECONDS = { quick: 3, short: 60 }
const WORKERS = 8
/** ARCHITECTURE.md, "Bounds" */
const BOUND_MB = { bus: 768, coordinator: 512, agent: 256 }
type Part = keyof typeof BOUND_MB
const PARTS = Object.keys(BOUND_MB) as Part[]

export const soak: Measurement = {
  name: 'soak',
  async run(bench) {
    const fleet = await startFleet(bench, 1)
    const { pids } = fleet.info
    const of: Record<Part, number> = {
      bus: pids.bus!,
      coordinator: pids.coordinator!,
      agent: pids.agents['n0']!,
    }
    const looks: Record<Part, { rss: number; fds: number }>[] = []
    const look = (): void =>
      void looks.push(Object.fromEntries(PARTS.map((part) => [part, sizeOf(of[part])])) as never)
    const runs = await churn(bench, fleet, look)
    const early = looks[Math.floor(looks.length / 10)]!
    const last = looks.at(-1)!
    const rows = PARTS.map((part): Row => {
      const most = Math.max(...looks.map((one) => one[part].rss))
      return rowOf({
        what: `resident memory of the ${part} after ${runs} runs of ${WORKERS}, at most`,
        unit: 'MB',
        figure: { p50: most, p99: null, n: looks.length },
        beside: [{ what: 'after the first tenth', unit: 'MB', p50: early[part].rss, p99: null, n: 1 }],
        aim: { text: `≤ ${BOUND_MB[part]} MB`, met: most <= BOUND_MB[part] },
        notes: [`descriptors ${early[part].fds} → ${last[part].fds}`],
      })
    })
    const tombstones = readdirSync(join(fleet.layout.node('n0').spool, 'tombstones')).length
    rows.at(-1)!.notes.push(`${tombstones} tombstones`)
    await fleet.end()
    return rows
  },
}

/** Runs one after the other until the time is over. @returns how many */
async function churn(bench: Bench, { troupe, facts }: BenchFleet, look: () => void): Promise<number> {
  const seconds = bench.quick ? SECONDS.quick : bench.minutes === null ? SECONDS.short : bench.minutes * 60
  const until = performance.now() + seconds * 1000
  let runs = 0
  for (; performance.now() < until; runs++) {
    const name = `soak-${runs}`
    const over = facts.await('ended', ofLaunch(name))
    await troupe.launch(task(name, ['sh', '-c', 'echo out; echo err >&2'], { replicas: WORKERS }))
    await over
    look()
  }
  return runs
}

function sizeOf(pid: number): { rss: number; fds: number } {
  return { rss: memoryOf(pid).rss, fds: readdirSync(`/proc/${pid}/fd`).length }
}
