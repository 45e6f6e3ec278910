/**
 * `npm run bench`: each measurement after the other, each with a fleet or server of its own and what stands
 * beside it in the same run. Owns the command line, the order, and that nothing is left, also on Ctrl-C; what
 * is measured stands in the files that MEASUREMENTS names.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { control } from './control.ts'
import { exitEvent } from './exit-event.ts'
import { forks } from './forks.ts'
import { growth } from './growth.ts'
import { held } from './held.ts'
import { identity } from './identity.ts'
import { launch } from './launch.ts'
import { lines } from './lines.ts'
import { logs, read } from './logs.ts'
import { describeMachine, diskDir, fsyncTimes } from './machine.ts'
import type { Bench, Measurement } from './measure.ts'
import { memory } from './memory.ts'
import { ps } from './ps.ts'
import { lineOf, tableOf, type Report } from './report.ts'
import { sixteen } from './sixteen.ts'
import { soak } from './soak.ts'
import { figureOf } from './stats.ts'
import { teardown } from './teardown.ts'
import { thousandAgents } from './thousand-agents.ts'

const MEASUREMENTS: readonly Measurement[] = [
  launch,
  sixteen,
  forks,
  exitEvent,
  logs,
  read,
  lines,
  control,
  ps,
  memory,
  soak,
  thousandAgents,
  growth,
  held,
  identity,
]
const NAMES = MEASUREMENTS.map(({ name }) => name)

const USAGE = `npm run bench [-- --only NAME]… [--quick] [--minutes N] [--json]

  --only NAME  ${NAMES.join(', ')}
  --quick      a few repetitions, to see that it runs; dist/bench.json is left alone
  --minutes N  how long the soak lasts; default one
  --json       the report as JSON on stdout, without the table
`

interface Asked {
  only: string[]
  quick: boolean
  minutes: number | null
  json: boolean
  help: boolean
}

function parse(args: string[]): Asked {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: 'string', multiple: true, default: [] },
      quick: { type: 'boolean', default: false },
      minutes: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  for (const name of values.only)
    if (!NAMES.includes(name)) throw new Error(`there is no measurement '${name}': ${NAMES.join(', ')}`)
  const minutes = values.minutes === undefined ? null : Number(values.minutes)
  if (minutes !== null && !(minutes > 0)) throw new Error(`--minutes takes a number, not '${values.minutes}'`)
  return { ...values, minutes }
}

function say(line: string): void {
  return void process.stderr.write(`${line}\n`)
}

/**
 * @param root         the checkout, built
 * @param programs     where the bundles are
 * @param onInterrupt  takes what is to be done on Ctrl-C
 * @returns exit code: 0 all measured, 1 something could not be, 2 wrong usage
 */
export async function bench(options: {
  root: string
  programs: string
  args: string[]
  onInterrupt(handler: () => Promise<void>): void
}): Promise<number> {
  const { root, programs, args, onInterrupt } = options
  let asked: ReturnType<typeof parse>
  try {
    asked = parse(args)
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${USAGE}`)
    return 2
  }
  const { only, quick, minutes, json, help } = asked
  if (help) {
    process.stdout.write(USAGE)
    return 0
  }
  const report: Report = {
    at: new Date().toISOString(),
    quick,
    machine: describeMachine(),
    fsyncMs: figureOf(fsyncTimes(diskDir(), quick ? 20 : 200)),
    rows: [],
    failed: [],
  }
  let interrupted = false
  for (const measurement of MEASUREMENTS) {
    if (only.length > 0 && !only.includes(measurement.name)) continue
    const started = teardown()
    const endAll = (): Promise<void> =>
      started.end((error) => say(`  not ended in order: ${(error as Error).message}`))
    onInterrupt(() => {
      interrupted = true
      return endAll()
    })
    say(`${measurement.name} …`)
    const context: Bench = { root, programs, quick, minutes, say, teardown: started }
    const began = performance.now()
    try {
      for (const row of await measurement.run(context)) {
        report.rows.push({ measurement: measurement.name, ...row })
        say(`  ${lineOf(row)}`)
      }
      say(`  ${((performance.now() - began) / 1000).toFixed(1)} s`)
    } catch (error) {
      // Ctrl-C ends it from outside
      if (interrupted) return 130
      say(`  failed: ${(error as Error).message}`)
      report.failed.push({ measurement: measurement.name, reason: (error as Error).message })
    }
    await endAll()
  }
  const text = `${JSON.stringify(report, null, 2)}\n`
  if (!quick) {
    const file = join(root, 'dist/bench.json')
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, text)
  }
  process.stdout.write(json ? text : tableOf(report))
  return report.failed.length > 0 ? 1 : 0
}
