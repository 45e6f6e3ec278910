/**
 * How a rank ended whose own shim was killed with it. The shim of the worker then has the rank as a child,
 * and its status with it (`adopted`). Owns who is said to have killed it: torchrun only where nothing else
 * can have been.
 */
import type { Cause } from '../protocol/causes.ts'
import type { HostExit } from '../protocol/host.ts'
import { TORCH_SHUTDOWN_S } from '../protocol/shutdown-timeout.ts'
import { exitOf, unknownExit, type ForkRecord, type RawExit } from './records.ts'

/** What else is known of the worker, now. */
export interface Surroundings {
  /** wall time at which we began to end the tree by SIGKILL; null: we did not */
  killedAt: number | null
  /** how torchrun ended */
  root: RawExit | null
  now: number
  /** nothing of the tree is left: nothing more will be told */
  over: boolean
}

/** So long a word of the rank's end, or of torchrun's, may be on its way. */
const SETTLE_MS = 1000
/** torch counts from its own signal, and ends its ranks one after another. */
const EARLY_MS = 300
const LATE_MS = 5000
const WITH_ITS_SHIM = 'the shim of the rank was killed, and the rank with it'

/**
 * @param seenAt  wall time at which its shim was first seen dead
 * @returns null while a later look may know more
 */
export function lostExit(
  { exit, told }: ForkRecord,
  seenAt: number,
  oom: () => boolean | null,
  { killedAt, root, now, over }: Surroundings,
): (HostExit & { killedBy: Cause | null }) | null {
  if (exit === null)
    return over || now - seenAt >= SETTLE_MS
      ? { ...unknownExit('the shim of the rank was killed'), killedBy: null }
      : null
  const isOurs = root?.fenced === true || (killedAt !== null && exit.at >= killedAt)
  const known = exitOf(exit, isOurs ? () => false : oom)
  if (known.signal !== 'SIGKILL' || isOurs) return { ...known, killedBy: null }
  const afterMs = told === null ? null : launchersTime(exit.at - told.at, told.seconds)
  if (afterMs !== null) {
    if (root === null && !over && now - exit.at < SETTLE_MS) return null
    const isAlone = root === null || exitOf(root, () => null).signal === null
    if (isAlone) return { ...known, oom: false, killedBy: { by: 'launcher', name: 'torchrun', afterMs } }
  }
  return { ...(known.oom === true ? known : unknownExit(WITH_ITS_SHIM)), killedBy: null }
}

/** @returns the time after which torchrun kills, when that is what is over; else null */
function launchersTime(passedMs: number, asked: number): number | null {
  const times = [asked * 1000, TORCH_SHUTDOWN_S * 1000]
  return times.find((ms) => passedMs >= ms - EARLY_MS && passedMs <= ms + LATE_MS) ?? null
}
