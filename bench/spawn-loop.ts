/**
 * The floor of everything that starts processes: Node's own spawn in a loop, of the same program, without a
 * shim, a record, a log or a word to anybody.
 */
import { spawn } from 'node:child_process'

export interface LoopTimes {
  /** until all are started: libuv returns from spawn when the program was executed */
  startedMs: number
  /** until all have ended */
  endedMs: number
}

/** Start `count` at once. @param argv  a program that ends by itself */
export function spawnLoop(argv: readonly string[], count: number): Promise<LoopTimes> {
  const began = performance.now()
  let [startedMs, started, ended] = [0, 0, 0]
  return new Promise((resolve, reject) => {
    for (let i = 0; i < count; i++) {
      const child = spawn(argv[0]!, argv.slice(1), { stdio: 'ignore' })
      child.once('error', reject)
      child.once('spawn', () => {
        if (++started === count) startedMs = performance.now() - began
      })
      child.once('exit', () => {
        if (++ended === count) resolve({ startedMs, endedMs: performance.now() - began })
      })
    }
  })
}
