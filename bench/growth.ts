/**
 * How the coordinator's pure step grows: the same work for n and for 2n, and the ratio of the two. No bus, no
 * agent and no disk; growth-fleet.ts answers the orders at once. Figures are CPU time. Twice the n may cost
 * 2.3 times as much: a sort or a heap is allowed, a pass over all for each one is not.
 */
import { growthFleet, type GrowthFleet } from './growth-fleet.ts'
import { rowOf, type Bench, type Measurement, type Row } from './measure.ts'
import { figureOf } from './stats.ts'

const RATIO_MAX = 2.3
const GPUS = 8

interface Case {
  what(n: number): string
  sizes: readonly number[]
  /** not measured */
  before?(n: number): GrowthFleet
  run(fleet: GrowthFleet, n: number): void
}

const CASES: readonly Case[] = [
  {
    what: (n) => `${n} nodes with ${GPUS} GPUs join and tell their inventory`,
    sizes: [2500, 5000, 10_000],
    run: (fleet, n) => fleet.join(n),
  },
  {
    what: (n) => `${n} runs wait for named nodes among as many others; then their nodes join`,
    sizes: [1250, 2500, 5000],
    before: (n) => fleetOf(n),
    run(fleet, n) {
      for (let i = 0; i < n; i++)
        fleet.launch(`r${i}`, { workers: { kind: 'task', command: ['true'], nodelist: [`late${i}`] } })
      fleet.join(n, 'late')
      if (fleet.live() !== n) throw new Error(`${fleet.live()} of ${n} were placed`)
    },
  },
  {
    what: (n) => `${n} runs wait for one busy node each, which is freed`,
    sizes: [1250, 2500, 5000],
    before(n) {
      const fleet = fleetOf(n)
      for (let i = 0; i < n; i++) fleet.launch(`a${i}`, whole(i))
      return fleet
    },
    run(fleet, n) {
      for (let i = 0; i < n; i++) fleet.launch(`b${i}`, whole(i))
      fleet.endAll()
      if (fleet.live() !== n) throw new Error(`${fleet.live()} of ${n} were placed`)
    },
  },
  {
    what: (n) => `${n} nodes beat for 10 s, with the ticks of that time`,
    sizes: [2500, 5000, 10_000],
    before: (n) => fleetOf(n),
    run: (fleet) => fleet.pass(10_000),
  },
  {
    what: (n) => `a run of ${n} workers, from its launch to its end`,
    sizes: [5000, 10_000, 20_000],
    before: (n) => fleetOf(Math.ceil(n / GPUS)),
    run(fleet, n) {
      fleet.launch('big', workersOf(n))
      fleet.endAll()
      if (fleet.ended() !== 1) throw new Error('the run has not ended')
    },
  },
  {
    what: (n) => `10 runs of ${n} workers together, from launch to end`,
    sizes: [12_500, 25_000, 50_000],
    before: (n) => fleetOf(Math.ceil(n / GPUS)),
    run(fleet, n) {
      for (let i = 0; i < 10; i++) fleet.launch(`big${i}`, workersOf(n / 10))
      fleet.endAll()
      if (fleet.ended() !== 10) throw new Error('the runs have not ended')
    },
  },
]

export const growth: Measurement = {
  name: 'growth',
  run(bench) {
    return Promise.resolve(CASES.flatMap((one) => rowsOf(bench, one)))
  },
}

function fleetOf(n: number): GrowthFleet {
  const fleet = growthFleet(GPUS)
  fleet.join(n)
  return fleet
}

const ROLE_MAX = 10_000

/** As many roles as it takes: a role has at most ROLE_MAX workers. */
function workersOf(n: number): Record<string, unknown> {
  const roles = Math.ceil(n / ROLE_MAX)
  const role = { kind: 'task', command: ['true'], replicas: n / roles, resources: { gpus: 1 } }
  return Object.fromEntries(Array.from({ length: roles }, (_, i) => [`role${i}`, role]))
}

function whole(i: number): Record<string, unknown> {
  return { workers: { kind: 'task', command: ['true'], nodelist: [`n${i}`], resources: { gpus: GPUS } } }
}

function rowsOf({ quick, say }: Bench, one: Case): Row[] {
  const times = quick ? 1 : 3
  const sizes = quick ? one.sizes.map((n) => n / 50) : one.sizes
  const measured = sizes.map((n) => {
    const all = Array.from({ length: times }, () => measure(one, n))
    say(`  ${one.what(n)}: ${Math.min(...all.map(({ ms }) => ms)).toFixed(0)} ms`)
    return {
      n,
      figure: figureOf(all.map(({ ms }) => ms)),
      longestMs: Math.min(...all.map((one) => one.longestMs)),
    }
  })
  return measured.slice(1).map(({ n, figure, longestMs }, i) => {
    const half = measured[i]!
    return rowOf({
      what: one.what(n),
      unit: 'ms',
      figure,
      beside: [{ what: `half of it (${half.n})`, unit: 'ms', ...half.figure }],
      aim: { text: `≤ ${RATIO_MAX}x`, met: figure.p50 / half.figure.p50 <= RATIO_MAX },
      notes: [`longest step ${longestMs.toFixed(1)} ms`],
    })
  })
}

function measure(one: Case, n: number): { ms: number; longestMs: number } {
  const fleet = one.before?.(n) ?? growthFleet(GPUS)
  globalThis.gc?.()
  fleet.longestMs()
  // the step waits for nothing, so its CPU time is its cost whatever else the machine does
  const before = process.cpuUsage()
  one.run(fleet, n)
  const { user, system } = process.cpuUsage(before)
  return { ms: (user + system) / 1000, longestMs: fleet.longestMs() }
}
