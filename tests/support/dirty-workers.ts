/** What contracts share whose worker lays hands on what is ours: a shell as worker, its end, either shim. */
import { beforeAll } from 'vitest'
import { shims } from './linux-host.ts'
import { directory, events, open, shim } from './linux-host-suite.ts'
import { forkSpec } from './spec.ts'

/** Bounded: what would hang is told within this time. */
export const BOUND_MS = 8000

let python: string[]
beforeAll(async () => {
  python = (await shims(directory)).python
})

/** Open the spool with that shim. */
export function openAs(kind: string) {
  return open({}, kind === 'C' ? shim : python)
}

export function sh(script: string, n = 0) {
  return forkSpec(['sh', '-c', script], { n })
}

export async function ended(forkId: string) {
  const { exit } = await events.next('exited', forkId, undefined, BOUND_MS)
  const { receipt } = await events.next('empty', forkId, undefined, BOUND_MS)
  return { exit, receipt }
}
