/**
 * Seeds, one after the other, in a worker thread of scripts/sim.mjs: told which by `workerData`, it posts one
 * result for each. With `trace` it posts a readable line for everything that happens.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { scenarioOf } from './scenarios.ts'
import { play } from './world.ts'

export interface SeedResult {
  seed: number
  violations: { invariant: string; at: number; text: string }[]
  situations: string[]
  simulatedMs: number
}

async function one(seed: number, trace: ((line: string) => void) | undefined): Promise<SeedResult> {
  let unhandled: string | null = null
  const onUnhandled = (error: unknown): void => void (unhandled ??= String((error as Error)?.stack ?? error))
  process.on('unhandledRejection', onUnhandled)
  try {
    const scenario = scenarioOf(seed)
    trace?.(JSON.stringify(scenario, null, 1))
    const { violations, situations, simulatedMs } = await play(scenario, trace === undefined ? {} : { trace })
    await new Promise((resolve) => setImmediate(resolve))
    if (unhandled !== null)
      violations.push({ invariant: 'no rejection is forgotten', at: 0, text: unhandled })
    return { seed, violations, situations: [...situations], simulatedMs }
  } catch (error) {
    return {
      seed,
      violations: [{ invariant: 'the world itself', at: 0, text: String((error as Error).stack ?? error) }],
      situations: [],
      simulatedMs: 0,
    }
  } finally {
    process.off('unhandledRejection', onUnhandled)
  }
}

// most faults are thrown to be caught: their stacks cost more than all the rest
Error.stackTraceLimit = 3
const { seeds, trace } = workerData as { seeds: number[]; trace: boolean }
for (const seed of seeds)
  parentPort!.postMessage({
    result: await one(seed, trace ? (line) => parentPort!.postMessage({ line }) : undefined),
  })
