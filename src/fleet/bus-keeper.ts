/**
 * A bus at home that is alive and takes no append is ended and started again, by the coordinator: nobody else
 * is there in a detached fleet. Owns when; how is bus.ts's. On somebody else's bus it is only said.
 *
 * 1. The sign is the coordinator's own append, refused three times (append-watch.ts), or a failed write of
 * any stream in the server's log: only clients append to the launch queue, and only agents to the logs.
 * 2. While the store cannot be written the server is left as it is, and looked at each second.
 * 3. After a restart the next one waits, twice as long each time, from 10 s to 5 min; a bus that was well for
 * a minute longer begins anew.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { isFault } from '../protocol/faults.ts'
import type { FleetLayout } from './layout.ts'
import { failedWrite, isStoreDeleted, refuseUnwritable } from './bus-store.ts'
import { readAddress, urlOf } from './bus-address.ts'
import { findBus, restartBus } from './bus.ts'
import type { ComponentLog } from './component-log.ts'
import { takeUpLock } from './up-lock.ts'
import { readWanted } from './up.ts'

export interface BusKeeperOptions {
  layout: FleetLayout
  /** of the bus that this coordinator uses */
  url: string
  env: Readonly<Record<string, string | undefined>>
  /** has the state log fallen mute? */
  isMute(): boolean
  log: ComponentLog
}

export interface BusKeeper {
  /** The trouble and the next step, in words for askers. */
  trouble(): string
  stop(): Promise<void>
}

const LOOK_MS = 1000
const BACKOFF_MS = [10_000, 300_000] as const
const STEADY_MS = 60_000
const NOT_OURS = 'its server is not one of ours here; look at its log and at the disk of its store'

export function keepBus(options: BusKeeperOptions): BusKeeper {
  const { layout, url, isMute } = options
  const stopping = new AbortController()
  const say = onceEach(options.log)
  const restarts = restartsOf(options, say.anew)
  let next = 'it is started again'

  const look = async (): Promise<void> => {
    if (!(await isOurs(options))) {
      next = NOT_OURS
      if (isMute()) say.once(`the bus at ${url} takes no append: ${NOT_OURS}`)
      return
    }
    const why = await signOf(options, restarts.owed)
    if (why !== null) {
      const problem = await restarts.attempt(why)
      if (problem === null) return
      next = `${problem}; it is started again when that is over`
      say.once(`the bus is not started again yet: ${problem}`)
    } else if ((await findBus(layout)) !== null && isStoreDeleted(layout))
      say.once(`the store of the bus, '${layout.bus.store}', was deleted under it: all is lost when it ends`)
    else say.anew()
  }
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await look().catch((error: unknown) => say.once(`the bus cannot be looked at: ${String(error)}`))
      await pause(LOOK_MS, stopping.signal)
    }
  }
  const done = loop()
  return {
    trouble: () => next,
    async stop() {
      stopping.abort()
      await done
    },
  }
}

/** A line of trouble, not again each second. */
function onceEach(log: ComponentLog): { once(message: string): void; anew(): void } {
  let said = ''
  return {
    once(message) {
      if (message !== said) log({ level: 'error', msg: message })
      said = message
    },
    anew: () => void (said = ''),
  }
}

interface Restarts {
  /** a server that was ended here and did not start again: nobody else starts it */
  readonly owed: boolean
  /** @returns the problem, or null when it was done, or is not to be done now */
  attempt(why: string): Promise<string | null>
}

function restartsOf(options: BusKeeperOptions, onRestart: () => void): Restarts {
  const { layout, env, log } = options
  let owed = false
  let at = -Infinity
  let pauseMs = 0

  const restart = async (why: string): Promise<void> => {
    // the lock is a file, too: where nothing can be written there is none
    await refuseUnwritable(layout)
    const release = await upLockOf(layout)
    if (release === null) return
    try {
      // `down` came, or somebody else was faster
      if ((await readWanted(layout)) === null || (await signOf(options, owed)) === null) return
      const steady = performance.now() - at > pauseMs + STEADY_MS
      pauseMs = steady ? BACKOFF_MS[0] : Math.min(pauseMs * 2, BACKOFF_MS[1])
      at = performance.now()
      owed = true
      const { pid } = await restartBus(layout, env, (line) => log({ msg: line }), why)
      owed = false
      onRestart()
      log({ msg: 'the bus was started again', pid, nextNotBeforeMs: pauseMs })
    } finally {
      release()
    }
  }
  return {
    get owed() {
      return owed
    },
    async attempt(why) {
      if (performance.now() - at < pauseMs) return null
      try {
        await restart(why)
        return null
      } catch (error) {
        return isFault(error) ? error.message : String(error)
      }
    },
  }
}

async function isOurs({ layout, url }: BusKeeperOptions): Promise<boolean> {
  const address = await readAddress(layout)
  return address !== null && urlOf(address) === url
}

/** @returns why the bus has to be started again, or null */
async function signOf({ layout, isMute }: BusKeeperOptions, owed: boolean): Promise<string | null> {
  const running = await findBus(layout)
  if (running === null) return owed ? 'it ended and did not start again' : null
  return failedWrite(layout, running.pid) ?? (isMute() ? 'the state log was refused three times' : null)
}

/** @returns null while somebody else is at work on the fleet */
async function upLockOf(layout: FleetLayout): Promise<(() => void) | null> {
  try {
    return await takeUpLock(layout.upLock, 'coordinator (which starts the bus again)', 0)
  } catch (error) {
    if (isFault(error, 'LOCKED')) return null
    throw error
  }
}

function pause(ms: number, signal: AbortSignal): Promise<unknown> {
  return sleep(ms, undefined, { signal }).catch(() => undefined)
}
