/**
 * The store of a bus at home, as its disk and its server's own log show it: is one of its streams in error,
 * can it be written, is it still there. Looks only; bus.ts ends and starts the server.
 *
 * A write that failed once (a full disk) leaves a stream of nats-server in error until the server is started
 * again: it answers, and takes nothing.
 */
import { existsSync } from 'node:fs'
import { mkdir, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Fault } from '../protocol/faults.ts'
import { readEndSync } from '../system/files.ts'
import type { FleetLayout } from './layout.ts'

/** The server says a failed write again with each append. */
const LOG_END_BYTES = 64 * 1024
/** More than an entry of STATE, and than a block that is begun. */
const PROBE_BYTES = 1024 * 1024
/** A disk that takes longer is the trouble itself. */
const PROBE_MS = 5000

/** @returns the last failed write that this server process told of, or null */
export function failedWrite(layout: FleetLayout, pid: number): string | null {
  const ours = readEndSync(layout.bus.log, LOG_END_BYTES)
    .split('\n')
    .filter((line) => line.startsWith(`[${pid}] `))
  const failed = ours.findLast((line) => /\[ERR\].*(failed to store a msg|critical write error)/i.test(line))
  // on a full disk the log has no room either: lines that were cut run into one another
  return failed?.replace(/^.*?\[ERR\] /, '').replace(/\[\d+\] \d{4}\/.*/, '') ?? null
}

/** @throws {Fault} SETUP when the server could not write its store either */
export async function refuseUnwritable(layout: FleetLayout): Promise<void> {
  const problem = await storeProblem(layout)
  if (problem === null) return
  throw new Fault('SETUP', `the store of the bus, '${layout.bus.store}', cannot be written: ${problem}`, {
    hint: 'when it can be written again, its coordinator starts the bus again; so does: troupe up',
  })
}

/** Write as the server would. @returns why that does not go, or null */
async function storeProblem({ bus: { store } }: FleetLayout): Promise<string | null> {
  const probe = join(store, `.probe-${process.pid}`)
  const late = new AbortController()
  const tooLate = sleep(PROBE_MS, `a write takes longer than ${PROBE_MS} ms`, late)
  tooLate.catch(() => {})
  try {
    return await Promise.race([tooLate, writeProbe(store, probe)])
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    return code === 'ENOSPC' || code === 'EDQUOT' ? 'there is no space left' : message
  } finally {
    late.abort()
    await rm(probe, { force: true }).catch(() => undefined)
  }
}

async function writeProbe(store: string, probe: string): Promise<null> {
  // a store that was deleted is made again, empty
  await mkdir(store, { recursive: true, mode: 0o700 })
  const file = await open(probe, 'w', 0o600)
  try {
    await file.writeFile(Buffer.alloc(PROBE_BYTES))
    await file.sync()
    return null
  } finally {
    await file.close()
  }
}

/** A server whose files were deleted under it goes on with what it has open, until it ends. */
export function isStoreDeleted({ bus: { store } }: FleetLayout): boolean {
  return !existsSync(join(store, 'jetstream'))
}
