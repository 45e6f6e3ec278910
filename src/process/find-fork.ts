/**
 * What the spool tells of a fork when an agent starts: which phase it is in, and whether its start has to be
 * settled first. Reads, and aborts what an earlier agent had not got to run; watching goes on in the host.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { basename } from 'node:path'
import { isAlive, listPids, readCommand, readStat, type ProcIdentity } from '../system/proc.ts'
import { readExecFile } from './exec-file.ts'
import { askForRecord } from './kill.ts'
import { isDamaged, parseRecord, readRecordText, type ForkRecord } from './records.ts'
import { fileOf, forkDirOf, isTombstoned, winStarted, wasStarted, writeTombstone } from './spool.ts'

export type Found =
  /** nothing was tried yet */
  | { kind: 'prepared' }
  /** never ran and never will */
  | { kind: 'cancelled' }
  /** its shim ran, or runs; the record may tell how far it got */
  | { kind: 'started'; record: ForkRecord }
  /** the shim was killed before it wrote its first word, and so before it started anything */
  | { kind: 'stillborn' }
  /** started on this machine before it was booted again */
  | { kind: 'rebooted'; record: ForkRecord }

/**
 * A shim takes milliseconds from its mkdir to the exec; a hung file system may take longer, and is then
 * watched like any other.
 */
const SETTLE_MS = 2000
/** For a shim that is dead and has left no word that can be read. No process can have this pid. */
const NOBODY: ProcIdentity = { pid: 0x7fffffff, startTime: '0' }

export async function findFork(spool: string, forkId: string, bootId: string): Promise<Found> {
  const forkDir = forkDirOf(spool, forkId)
  const exec = readExecFile(fileOf.exec(forkDir))
  const record = (): ForkRecord => readOwn(forkDir).record
  // a worker may have removed the barrier: the shim's own word tells as much
  const started = wasStarted(forkDir) || record().shim !== null
  if (exec !== null && exec.bootId !== bootId && started) return { kind: 'rebooted', record: record() }
  if (!started) {
    if (exec === null && !isTombstoned(spool, forkId)) return { kind: 'prepared' }
    // a shim may be between its exec and its mkdir: whoever makes the directory decides
    if (winStarted(forkDir)) {
      writeTombstone(spool, forkId)
      return { kind: 'cancelled' }
    }
  }
  for (const until = performance.now() + SETTLE_MS; performance.now() < until; await sleep(20)) {
    const { unreadable, record } = readOwn(forkDir)
    const { shim, child, exit } = record
    if (child !== null || exit !== null || (shim !== null && !isAlive(shim))) break
    const running = shim ?? shimOf(forkDir)
    if (running === null) break
    if (unreadable) askForRecord(running)
  }
  const { unreadable, record: last } = readOwn(forkDir)
  if (last.shim !== null) return { kind: 'started', record: last }
  if (unreadable && !isTombstoned(spool, forkId))
    return { kind: 'started', record: { ...last, shim: shimOf(forkDir) ?? NOBODY } }
  return { kind: isTombstoned(spool, forkId) ? 'cancelled' : 'stillborn' }
}

/** Of a record that is another fork's nothing is taken. */
function readOwn(forkDir: string): { unreadable: boolean; record: ForkRecord } {
  const text = readRecordText(fileOf.record(forkDir))
  const record = parseRecord(text ?? '')
  const { shim } = record
  const command = shim !== null && isAlive(shim) ? readCommand(shim.pid).at(-1) : undefined
  if (command !== undefined && basename(command) !== basename(forkDir))
    return { unreadable: true, record: parseRecord('') }
  return { unreadable: text === null || isDamaged(text), record }
}

/** A shim that has not written down its own pid is known by its argv alone. */
function shimOf(forkDir: string): ProcIdentity | null {
  const pid = listPids().find((pid) => readCommand(pid).at(-1) === forkDir)
  const stat = pid === undefined ? null : readStat(pid)
  return stat === null ? null : { pid: stat.pid, startTime: stat.startTime }
}

export function shimRuns(forkDir: string): boolean {
  return shimOf(forkDir) !== null
}
