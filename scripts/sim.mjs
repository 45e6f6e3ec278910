#!/usr/bin/env node
/**
 * `npm run sim`: whole fleets on the bus in memory, one seed each (tests/sim). Prints how many seeds
 * contained each named situation, and fails when an invariant broke or a situation is rare.
 *
 *   npm run sim                       2,000 seeds
 *   npm run sim -- --seeds N --from K
 *   npm run sim -- --seed N           one seed again, with everything that happened
 *   --first                           stop at the first failure
 *   --workers N                       threads; default one for each core
 *
 * Exit 0: all good. 1: an invariant broke or a situation is rare. 2: it could not run.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { build } from 'esbuild'

export const SEEDS = 2000
/** of 2,000 seeds; fewer seeds owe proportionally fewer */
export const RARE = 50
const ROOT = fileURLToPath(new URL('..', import.meta.url))

/**
 * @param {{ from?: number, seeds?: number, first?: boolean, trace?: boolean, workers?: number, onLine?:
 * (line: string) => void, onResult?: (result: any) => void }} options
 * @returns {Promise<{ results: { seed: number, violations: { invariant: string, at: number, text: string }[],
 * situations: string[], simulatedMs: number }[] }>}
 */
export async function simulate({
  from = 1,
  seeds = SEEDS,
  first = false,
  trace = false,
  workers: wanted = availableParallelism(),
  onLine = console.log,
  onResult = () => {},
} = {}) {
  const dir = await mkdtemp(join(tmpdir(), 'troupe-sim-'))
  try {
    const outfile = join(dir, 'run.mjs')
    await build({
      entryPoints: [join(ROOT, 'tests/sim/run.ts')],
      outfile,
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node20',
      external: ['msgpackr-extract'],
      logLevel: 'error',
      sourcemap: 'inline',
      banner: {
        js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);",
      },
    })
    const workers = Math.min(seeds, wanted)
    const results = []
    const running = []
    await Promise.all(
      Array.from({ length: workers }, (_, k) => {
        const worker = new Worker(outfile, {
          workerData: {
            seeds: Array.from({ length: seeds }, (_, i) => from + i).filter((_, i) => i % workers === k),
            trace,
          },
          execArgv: ['--enable-source-maps'],
        })
        running.push(worker)
        return new Promise((resolve, reject) => {
          worker.on('message', ({ result, line }) => {
            if (line !== undefined) return onLine(line)
            results.push(result)
            onResult(result)
            if (first && result.violations.length > 0) for (const other of running) void other.terminate()
          })
          worker.on('error', reject)
          worker.on('exit', resolve)
        })
      }),
    )
    return { results: results.sort((a, b) => a.seed - b.seed) }
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

/** How many seeds contained each situation, those that none contained too. */
export function countSituations(results, names) {
  const counts = new Map(names.map((name) => [name, 0]))
  for (const { situations } of results)
    for (const name of situations) counts.set(name, (counts.get(name) ?? 0) + 1)
  return counts
}

/** The situations that issue and DESIGN name, in their order. */
export const NAMED = [
  'coordinator dies between intent and order',
  'reply lost after start',
  'duplicate after the terminal state',
  'agent restarts between prepare and start',
  'exit while the agent is dead',
  'deposed coordinator sends',
  'late timer of an old attempt',
  'append landed with its ack lost',
  'freeze and thaw with an order in the buffer',
  'two incarnations on one spool',
  'appends on a slow disk',
  'appends refused by a full disk',
]

async function main() {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string' },
      from: { type: 'string' },
      seed: { type: 'string' },
      first: { type: 'boolean' },
      workers: { type: 'string' },
    },
  })
  const one = values.seed !== undefined
  const seeds = one ? 1 : Number(values.seeds ?? SEEDS)
  const from = Number(values.seed ?? values.from ?? 1)
  const began = performance.now()
  let failures = 0
  const { results } = await simulate({
    from,
    seeds,
    first: values.first ?? false,
    trace: one,
    ...(values.workers !== undefined && { workers: Number(values.workers) }),
    onResult: ({ seed, violations }) => {
      if (violations.length === 0) return
      failures++
      if (failures > 20 && !one) return
      console.log(`seed ${seed} (again: npm run sim -- --seed ${seed})`)
      for (const { invariant, at, text } of violations.slice(0, 8))
        console.log(`  ${invariant} at ${(at / 1000).toFixed(3)} s: ${text}`)
    },
  })
  const counts = countSituations(results, NAMED)
  const owed = Math.ceil((RARE * results.length) / SEEDS)
  const rare = one || values.first ? [] : NAMED.filter((name) => counts.get(name) < owed)
  console.log(`\n${'SITUATION'.padEnd(48)} SEEDS`)
  for (const [name, count] of counts)
    console.log(
      `${name.padEnd(48)} ${String(count).padStart(5)}${rare.includes(name) ? `  rare: at least ${owed} are asked for` : ''}`,
    )
  const simulated = results.reduce((sum, { simulatedMs }) => sum + simulatedMs, 0)
  console.log(
    `\n${results.length} seeds, ${failures} failed, ${(simulated / 3_600_000).toFixed(1)} h simulated in ${((performance.now() - began) / 1000).toFixed(1)} s`,
  )
  process.exitCode = failures > 0 || rare.length > 0 ? 1 : 0
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  await main().catch((error) => {
    console.error(error)
    process.exitCode = 2
  })
