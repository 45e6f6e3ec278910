/**
 * A control round trip, `coordinator.status`: quiet, and while eight workers flood their logs. Beside each:
 * PING and PONG with the server on the same connection, alternating with it.
 */
import { rowOf, type Measurement } from './measure.ts'
import { flood, MIB } from './flood.ts'
import { startFleet, task, type BenchFleet } from './fleet.ts'
import { figureOf, timed } from './stats.ts'

const AIM_P99_MS = 20
const WORKERS = 8

export const control: Measurement = {
  name: 'control',
  async run(bench) {
    const [times, bytesEach] = bench.quick ? [20, 8 * MIB] : [1000, 512 * MIB]
    const fleet = await startFleet(bench, 1)
    const { run } = await fleet.troupe.launch(task('control', ['sleep', '600'], { kind: 'service' }))
    await fleet.troupe.wait(run, { for: 'running' })
    const quiet = await ask(fleet, run, times, () => false)

    const flooding = await flood(fleet, 'flood', WORKERS, bytesEach)
    await flooding.firstBytesAt
    let drained = false
    void flooding.final.then(
      () => (drained = true),
      () => (drained = true),
    )
    const flooded = await ask(fleet, run, times, () => drained)
    await fleet.troupe.kill(flooding.run)
    await fleet.troupe.kill(run)
    await fleet.end()

    const figure = figureOf(flooded.asked)
    return [
      rowOf({
        what: 'control round trip (coordinator.status), quiet',
        unit: 'ms',
        figure: figureOf(quiet.asked),
        beside: [{ what: 'PING and PONG of the server', unit: 'ms', ...figureOf(quiet.pinged) }],
      }),
      rowOf({
        what: `control round trip, ${WORKERS} workers flooding`,
        unit: 'ms',
        figure,
        beside: [{ what: 'PING and PONG of the server, then too', unit: 'ms', ...figureOf(flooded.pinged) }],
        aim: { text: `p99 ≤ ${AIM_P99_MS} ms`, met: (figure.p99 ?? figure.p50) <= AIM_P99_MS },
      }),
    ]
  },
}

async function ask(
  { messenger, bus, info }: BenchFleet,
  run: string,
  times: number,
  over: () => boolean,
): Promise<{ asked: number[]; pinged: number[] }> {
  const [asked, pinged]: [number[], number[]] = [[], []]
  while (asked.length < times && !(over() && asked.length > 0)) {
    asked.push(await timed(() => messenger.ask('coordinator.status', { user: info.user }, { run })))
    pinged.push(await timed(() => bus.roundTripMs()))
  }
  return { asked, pinged }
}
