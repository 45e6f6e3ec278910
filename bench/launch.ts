/**
 * From sending `coordinator.launch` to hearing `started` with a pid, on one connection, fleet warm and
 * otherwise idle. The floor is what no durable launch can be without: one fsync, four round trips (launch,
 * intent to STATE, prepare, start) and one bare spawn of the same program, added up.
 */
import { rowOf, type Measurement } from './measure.ts'
import { startFleet, task, type BenchFleet } from './fleet.ts'
import { ofLaunch } from './facts.ts'
import { fsyncTimes } from './machine.ts'
import { startRawBus } from './raw-bus.ts'
import { spawnLoop } from './spawn-loop.ts'
import { watchState } from './state-entries.ts'
import { figureOf, median, repeat } from './stats.ts'

const PROGRAM = ['true']
const ROUND_TRIPS = 4
const AIM = { p50: 5, p99: 25 }

export const launch: Measurement = {
  name: 'launch',
  async run(bench) {
    const times = bench.quick ? 5 : 300
    const fleet = await startFleet(bench, 1)
    const { entries, accepted, started } = await launches(fleet, times)
    const fsync = fsyncTimes(fleet.home, Math.max(20, times))
    await fleet.end()

    const raw = await startRawBus(bench)
    await raw.echo(1, 1)
    const trips = await raw.roundTrips(Math.max(20, times))
    await raw.end()
    const spawns = await repeat(Math.max(20, times), async () => (await spawnLoop(PROGRAM, 1)).startedMs, 5)

    const least = median(fsync) + ROUND_TRIPS * median(trips) + median(spawns)
    const figure = figureOf(started)
    return [
      rowOf({
        what: 'launch request → pid reported',
        unit: 'ms',
        figure,
        beside: [
          {
            what: `1 fsync + ${ROUND_TRIPS} round trips + 1 spawn`,
            unit: 'ms',
            p50: least,
            p99: null,
            n: times,
          },
          { what: 'fsync of the disk', unit: 'ms', ...figureOf(fsync) },
          { what: 'raw NATS request', unit: 'ms', ...figureOf(trips) },
          { what: 'bare spawn', unit: 'ms', ...figureOf(spawns) },
        ],
        aim: {
          text: `p50 ≤ ${AIM.p50} ms, p99 ≤ ${AIM.p99} ms`,
          met: figure.p50 <= AIM.p50 && (figure.p99 ?? figure.p50) <= AIM.p99,
        },
        notes: [`STATE entries from the request to \`started\`: ${median(entries)} (median), each an fsync`],
      }),
      rowOf({
        what: 'launch request → accepted',
        unit: 'ms',
        figure: figureOf(accepted),
        beside: [
          {
            what: '1 fsync + 2 round trips',
            unit: 'ms',
            p50: median(fsync) + 2 * median(trips),
            p99: null,
            n: times,
          },
        ],
      }),
    ]
  },
}

/** One after the other: the next begins when the one before has ended. */
async function launches(
  fleet: BenchFleet,
  times: number,
): Promise<{ started: number[]; accepted: number[]; entries: number[] }> {
  const state = await watchState(fleet.layout, fleet.info)
  const [started, accepted, entries]: [number[], number[], number[]] = [[], [], []]
  try {
    for (let i = -5; i < times; i++) {
      const before = state.written
      let during = 0
      const { startedMs, acceptedMs } = await launchOn(fleet, `bench-${i + 5}`, () => {
        during = state.written - before
      })
      if (i < 0) continue
      started.push(startedMs)
      accepted.push(acceptedMs)
      entries.push(during)
    }
    return { started, accepted, entries }
  } finally {
    await state.close()
  }
}

/**
 * One launch, to its end.
 *
 * @param onStarted  called when its pid is reported
 */
export async function launchOn(
  { troupe, facts }: BenchFleet,
  name: string,
  onStarted = (): void => {},
): Promise<{ startedMs: number; acceptedMs: number }> {
  const ofThis = ofLaunch(name)
  const [pid, end] = [facts.await('started', ofThis), facts.await('ended', ofThis)]
  const began = performance.now()
  const asked = troupe.launch(task(name, PROGRAM)).then(() => performance.now())
  const { at } = await pid
  onStarted()
  const acceptedAt = await asked
  await end
  return { startedMs: at - began, acceptedMs: acceptedAt - began }
}
