/**
 * The fence of a fork with `fenceAfter`, as its shim sees it: a small file that the agent renews at each
 * answer from the bus. An agent that is alive ends such a worker itself; one that is dead or frozen cannot,
 * and its worker is placed again all the same. So when nobody has renewed the file for the limit, the shim
 * ends the tree (shim.c). Owns the format on this side.
 *
 * No clock is shared: the file says how old the word is, and the shim counts from when it sees it.
 */
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs'
import type { ForkSpec } from '../protocol/launch/resolved.ts'
import { fileOf } from './spool.ts'

/** After the agent's own ladder, and before the coordinator stops waiting (its margin is 5 s). */
const SLACK_MS = 2000
const BYTES = 128

let count = 0

/**
 * The same length always, in one write: nothing to allocate on a full disk, and the token on both sides shows
 * a torn line.
 */
function line(limitMs: number, ageMs: number): string {
  const token = `${Date.now().toString(36)}.${count++}`
  return `${`${limitMs} ${token} ${Math.max(0, Math.ceil(ageMs))} ${token}`.padEnd(BYTES - 1)}\n`
}

function limitOf({ fenceAfterMs, stop }: ForkSpec): number | null {
  return fenceAfterMs === null ? null : fenceAfterMs + stop.graceMs + SLACK_MS
}

/** At `prepare`; nothing for a fork without `fenceAfter`. */
export function makeFence(forkDir: string, spec: ForkSpec): void {
  const limitMs = limitOf(spec)
  if (limitMs !== null) writeFileSync(fileOf.fence(forkDir), line(limitMs, 0), { mode: 0o600 })
}

/** @param ageMs  how long ago the agent asked what has now been answered */
export function renewFence(forkDir: string, spec: ForkSpec, ageMs: number): void {
  const limitMs = limitOf(spec)
  if (limitMs === null) return
  try {
    const fd = openSync(fileOf.fence(forkDir), 'r+')
    try {
      writeSync(fd, line(limitMs, ageMs), 0)
    } finally {
      closeSync(fd)
    }
  } catch {
    // the spool is gone or cannot be written: then the fence holds, which is what it is for
  }
}
