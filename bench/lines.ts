/**
 * A line that a worker writes → the line at a reader that follows: the worker writes its time, of the clock
 * that all processes of a machine share. Beside: half a raw round trip, the way of one message.
 */
import { rowOf, type Measurement } from './measure.ts'
import { startFleet, task } from './fleet.ts'
import { ofLaunch } from './facts.ts'
import { startRawBus } from './raw-bus.ts'
import { figureOf, median } from './stats.ts'

const EVERY_MS = 10
const AIM_P99_MS = 200
function clockMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

function writer(lines: number): string[] {
  return [
    process.execPath,
    '-e',
    [
      "const { writeSync } = require('fs'); let n = 0",
      "const line = () => { writeSync(1, process.hrtime.bigint() + '\\n')",
      `if (++n === ${lines}) clearInterval(timer) }`,
      `const timer = setInterval(line, ${EVERY_MS})`,
    ].join('\n'),
  ]
}

export const lines: Measurement = {
  name: 'lines',
  async run(bench) {
    const wanted = bench.quick ? 30 : 1000
    const { troupe, facts, end } = await startFleet(bench, 1)
    const over = facts.await('ended', ofLaunch('lines'))
    const { run } = await troupe.launch(task('lines', writer(wanted)))
    const late: number[] = []
    for await (const item of troupe.logs(run, { follow: true }))
      if (item.kind === 'line') late.push(clockMs() - Number(item.text) / 1e6)
    await over
    await end()
    if (late.length !== wanted) throw new Error(`${late.length} of ${wanted} lines arrived`)
    const raw = await startRawBus(bench)
    await raw.echo(1, 1)
    const trip = median(await raw.roundTrips(200))
    await raw.end()
    const figure = figureOf(late)
    return [
      rowOf({
        what: 'line written → line at a reader',
        unit: 'ms',
        figure,
        beside: [{ what: 'half a raw round trip', unit: 'ms', p50: trip / 2, p99: null, n: 200 }],
        aim: { text: `p99 ≤ ${AIM_P99_MS} ms`, met: (figure.p99 ?? figure.p50) <= AIM_P99_MS },
        notes: ['a source with little to send waits up to 50 ms for more (LOG_DEFAULTS.batchMs)'],
      }),
    ]
  },
}
