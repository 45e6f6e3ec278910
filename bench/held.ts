/**
 * Memory that the coordinator's state holds with n workers that live: heap after a collection, less what
 * there was before. The fleet that answers its orders is in the same process, so it is an upper bound.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { growthFleet, type GrowthFleet } from './growth-fleet.ts'
import { rowOf, type Measurement, type Row } from './measure.ts'

const SIZES = [12_500, 25_000, 50_000]
const GPUS = 8
const RUNS = 10
/** ARCHITECTURE.md, "Bounds" */
const BOUND_MB = 512
/** Of a coordinator at rest, its code included: `--only memory`. */
const REST_MB = 90

export const held: Measurement = {
  name: 'held',
  run({ quick, say }) {
    const sizes = quick ? SIZES.map((n) => n / 50) : SIZES
    const measured = sizes.map((n) => ({ n, mb: measure(n) }))
    for (const { n, mb } of measured) say(`  ${n} workers that live: ${mb.toFixed(0)} MB`)
    const rows = measured.slice(1).map(({ n, mb }, i): Row => {
      const half = measured[i]!
      return rowOf({
        what: `heap of the coordinator's state with ${n} workers that live`,
        unit: 'MB',
        figure: { p50: mb, p99: null, n: 1 },
        beside: [{ what: `half of them (${half.n})`, unit: 'MB', p50: half.mb, p99: null, n: 1 }],
        aim: { text: `≤ ${BOUND_MB - REST_MB} MB`, met: mb <= BOUND_MB - REST_MB },
      })
    })
    return Promise.resolve(rows)
  },
}

function measure(n: number): number {
  const before = heapMb()
  const fleet = liveFleet(n)
  const after = heapMb()
  if (fleet.live() !== n) throw new Error(`${fleet.live()} of ${n} workers live`)
  return after - before
}

function liveFleet(n: number): GrowthFleet {
  const fleet = growthFleet(GPUS)
  fleet.join(Math.ceil(n / GPUS))
  const role = { kind: 'task', command: ['true'], replicas: n / RUNS, resources: { gpus: 1 } }
  for (let i = 0; i < RUNS; i++) fleet.launch(`held${i}`, { workers: role })
  return fleet
}

function heapMb(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  return process.memoryUsage().heapUsed / 1e6
}
