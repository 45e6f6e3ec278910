/**
 * `troupe ps` from a shell's view (a process, to its end) with one run that lives, beside `node -e 0`; the
 * two alternate.
 */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { rowOf, type Measurement } from './measure.ts'
import { startFleet, task } from './fleet.ts'
import { figureOf, timed } from './stats.ts'

const AIM_RATIO = 2

export const ps: Measurement = {
  name: 'ps',
  async run(bench) {
    const times = bench.quick ? 3 : 15
    const { troupe, env, end } = await startFleet(bench, 1)
    const { run } = await troupe.launch(task('sleeper', ['sleep', '600'], { kind: 'service' }))
    await troupe.wait(run, { for: 'running' })
    const [ours, bare]: [number[], number[]] = [[], []]
    for (let i = -2; i < times; i++) {
      const [a, b] = [
        await timed(() => program(join(bench.root, 'bin/troupe'), ['ps'], env)),
        await timed(() => program(process.execPath, ['-e', '0'], env)),
      ]
      if (i < 0) continue
      ours.push(a)
      bare.push(b)
    }
    await troupe.kill(run)
    await end()
    const row = rowOf({
      what: '`troupe ps`',
      unit: 'ms',
      figure: figureOf(ours),
      beside: [{ what: '`node -e 0`', unit: 'ms', ...figureOf(bare) }],
    })
    return [{ ...row, aim: { text: `≤ ${AIM_RATIO}x`, met: row.ratio! <= AIM_RATIO } }]
  },
}

function program(path: string, args: string[], env: NodeJS.ProcessEnv): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(path, args, { env, stdio: 'ignore' })
    child.once('error', reject)
    child.once('exit', (code) =>
      code === 0 ? resolve() : reject(new Error(`${path} ${args.join(' ')} ended with ${code}`)),
    )
  })
}
