/**
 * One coordinator in the foreground: an assembly point. It hands the real bus, clock and state log to the
 * coordinator's actor. A signal makes the coordinator leave. It takes a detached fleet down when nothing ran
 * for long.
 */
import { existsSync } from 'node:fs'
import { answerMute } from '../actors/coordinator/mute.ts'
import { startCoordinator } from '../actors/coordinator/coordinator.ts'
import { joinBackend } from '../backends/join.ts'
import { localBackend } from '../backends/local.ts'
import { Fault } from '../protocol/faults.ts'
import { systemClock } from '../system/clock.ts'
import { ulid } from '../system/ulid.ts'
import { openStateLog } from '../transport/bus-state-log.ts'
import { watchAppends } from '../transport/append-watch.ts'
import type { Bus } from '../transport/bus.ts'
import { messengerOn } from '../transport/messenger.ts'
import { connectNats } from '../transport/nats/bus.ts'
import type { StateLog } from '../transport/state-log.ts'
import { announceService } from '../transport/service-discovery.ts'
import { keepBus } from './bus-keeper.ts'
import { takeDown } from './down.ts'
import { warnEachDay } from './key-warnings.ts'
import { keyFile, readCoordinatorMinter, readKey } from './keys.ts'
import { serveRenewals } from './renewal.ts'
import { componentLog, type ComponentLog } from './component-log.ts'
import { prepareLocal, type FleetLayout } from './layout.ts'
import { announcePresence } from './presence.ts'
import { endOf, logAway, logTroubleOf, reachOptions, semantic, unlessAborted } from './run-component.ts'
import { takeUpLock } from './up-lock.ts'

export interface CoordinatorOptions {
  layout: FleetLayout
  url: string
  /** owner of the fleet */
  user: string
  /** take the fleet down after so long without runs, ms; null: never */
  idleEndMs: number | null
  /** servers that keep a copy of each stream; null: as they are, or 1 */
  replicas: number | null
  version: string
  signal: AbortSignal
  /** give up when the bus was not reached for so long, ms; null: never */
  connectTimeoutMs: number | null
}

const LOCK_MS = 180_000

/**
 * Returns when it was told to leave, or has taken the fleet down.
 *
 * @throws {Fault} PERMISSION when its key is not here, FAILED after a mistake of its own
 */
export async function runCoordinator({
  layout,
  url,
  user,
  idleEndMs,
  replicas,
  version,
  signal,
  connectTimeoutMs,
}: CoordinatorOptions): Promise<void> {
  const credentials = () => readKey(layout, { role: 'coordinator' })
  if ((await credentials()) === null)
    throw new Fault(
      'PERMISSION',
      `the coordinator's key '${keyFile(layout, { role: 'coordinator' })}' is not here: only the owner of a fleet can run one`,
      { hint: 'the owner starts a fleet, and makes it, by: troupe up' },
    )
  await prepareLocal(layout.dir)
  const incarnation = ulid()
  const log = componentLog({ component: 'coordinator', incarnation })
  const leave = await announcePresence(layout.presence, 'coordinator')
  try {
    const bus = await unlessAborted(
      signal,
      connectNats({
        ...reachOptions({ url, connectTimeoutMs, signal }, credentials),
        name: `troupe-coordinator/${incarnation}`,
        onTrouble: logAway(log),
      }),
    )
    if (bus === null) return
    serveRenewals(messengerOn(bus, layout.fleet), () => readCoordinatorMinter(layout), systemClock, log)
    const { stateLog, stopKeeping } = keepBusFor({ layout, url, replicas, bus, log })
    const coordinator = await startCoordinator({
      bus,
      stateLog,
      fleet: layout.fleet,
      incarnation,
      clock: systemClock,
      backends: [joinBackend(), localBackend()],
      log,
      settings: { idleEndMs, replicas, owner: user, atHome: existsSync(layout.wanted) },
    })
    const announced = announceService(bus, {
      name: 'troupe-coordinator',
      version: semantic(version),
      id: incarnation,
      description: `a coordinator of fleet ${layout.fleet}`,
      metadata: { fleet: layout.fleet },
    })
    logTroubleOf(bus, log)
    log({ msg: 'started', pid: process.pid, url })
    const stopWarning = warnEachDay(layout, log)
    const { why } = await endOf(coordinator, signal)
    log({ msg: 'ended', why })
    stopWarning()
    await stopKeeping()
    announced.unsubscribe()
    await bus.close()
    if (why === 'crashed')
      throw new Fault('FAILED', 'the coordinator met a state that it does not know', {
        hint: 'the error stands above; please report it',
      })
    if (why === 'idle') await endIdleFleet(layout, user, log)
  } finally {
    await leave()
  }
}

/** The state log of this coordinator, and a bus that is started again when that log takes no entry. */
function keepBusFor({
  layout,
  url,
  replicas,
  bus,
  log,
}: Pick<CoordinatorOptions, 'layout' | 'url' | 'replicas'> & { bus: Bus; log: ComponentLog }): {
  stateLog: StateLog
  stopKeeping(): Promise<void>
} {
  let stopAnswering = (): void => {}
  const watch = watchAppends(openStateLog(bus, layout.fleet, { replicas }), {
    bus,
    clock: systemClock,
    onChange(mute) {
      log({
        level: mute ? 'error' : 'info',
        msg: mute ? 'the bus takes no append' : 'the bus takes appends again',
      })
      stopAnswering()
      stopAnswering = mute ? answerMute(messengerOn(bus, layout.fleet), keeper.trouble) : () => {}
    },
  })
  const keeper = keepBus({ layout, url, env: process.env, isMute: () => watch.mute, log })
  return {
    stateLog: watch.stateLog,
    async stopKeeping() {
      stopAnswering()
      await keeper.stop()
    },
  }
}

async function endIdleFleet(
  layout: FleetLayout,
  user: string,
  log: (fields: Record<string, unknown>) => void,
): Promise<void> {
  const release = await takeUpLock(layout.upLock, 'coordinator --idle-end', LOCK_MS)
  try {
    const { ended } = await takeDown({ layout, user, keepWorkers: false, say: (line) => log({ msg: line }) })
    log({ msg: 'the fleet was idle and is taken down', ended })
  } finally {
    release()
  }
}
