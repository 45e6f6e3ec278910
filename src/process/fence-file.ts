/**
 * The fence of a fork with `fenceAfter`, as its shim sees it: a small file that the agent renews at each
 * answer from the bus. An agent that is alive ends such a worker itself; one that is dead or frozen cannot,
 * and its worker is placed again all the same. So when nobody has renewed the file for the limit, the shim
 * ends the tree (shim.c). Owns the format on this side.
 *
 * Before it ends the tree the shim climbs the role's stop ladder, unless the agent has begun to: whoever
 * makes the file `stopping` sends the signals, and the other one none.
 *
 * No clock is shared: the file says how old the word is, and the shim counts from when it sees it.
 */
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs'
import type { ForkSpec } from '../protocol/launch/resolved.ts'
import { signalNumber } from '../protocol/signals.ts'
import { readPlainSync } from '../system/files.ts'
import { fileOf } from './spool.ts'

/** After the agent's own ladder, and before the coordinator stops waiting (its margin is 5 s). */
const SLACK_MS = 2000
/** An agent that lives has begun by then. */
const AGENT_FIRST_MS = 1000
const BYTES = 256

let count = 0

/**
 * The same length always, in one write: nothing to allocate on a full disk, and the token on both sides shows
 * a torn line.
 */
function line(limitMs: number, ageMs: number, spec: ForkSpec): string {
  const token = `${Date.now().toString(36)}.${count++}`
  const text = `${limitMs} ${token} ${Math.max(0, Math.ceil(ageMs))} ${token} ${ladderOf(spec)}`
  return `${text.padEnd(BYTES - 1)}\n`
}

/** Who gets the signals, and after how long a silence each is due. */
function ladderOf({ fenceAfterMs, stop }: ForkSpec): string {
  if (stop.graceMs === 0) return ''
  const steps = [{ signal: stop.signal, afterMs: 0 }, ...(stop.further ?? [])].map(
    ({ signal, afterMs }) => `${fenceAfterMs! + AGENT_FIRST_MS + afterMs}:${signalNumber(signal)}`,
  )
  return `${stop.to === 'tree' ? 't' : 'r'}${steps.join(',')}`
}

const CLAIM_BYTES = 16

/** @returns whether the agent may signal the tree for a stop: false when its shim has begun to */
export function claimStop(forkDir: string, { fenceAfterMs }: ForkSpec): boolean {
  if (fenceAfterMs === null) return true
  try {
    writeFileSync(fileOf.stopping(forkDir), 'agent', { flag: 'wx', mode: 0o600 })
    return true
  } catch (error) {
    // on a full disk the worst is a second signal
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return true
  }
  return readPlainSync(fileOf.stopping(forkDir), 'utf8', CLAIM_BYTES) === 'agent'
}

function limitOf({ fenceAfterMs, stop }: ForkSpec): number | null {
  return fenceAfterMs === null ? null : fenceAfterMs + stop.graceMs + SLACK_MS
}

/** At `prepare`; nothing for a fork without `fenceAfter`. */
export function makeFence(forkDir: string, spec: ForkSpec): void {
  const limitMs = limitOf(spec)
  if (limitMs !== null) writeFileSync(fileOf.fence(forkDir), line(limitMs, 0, spec), { mode: 0o600 })
}

/** @param ageMs  how long ago the agent asked what has now been answered */
export function renewFence(forkDir: string, spec: ForkSpec, ageMs: number): void {
  const limitMs = limitOf(spec)
  if (limitMs === null) return
  try {
    const fd = openSync(fileOf.fence(forkDir), 'r+')
    try {
      writeSync(fd, line(limitMs, ageMs, spec), 0)
    } finally {
      closeSync(fd)
    }
  } catch {
    // the spool is gone or cannot be written: then the fence holds, which is what it is for
  }
}
