/**
 * Ranks of a torchrun worker, as their own shims recorded them: `ranks/<localRank>.<restart>`. Owns reading
 * them into reports.
 */
import { readdirSync, writeFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { isOutOfDescriptors } from '../system/descriptors.ts'
import type { RankReport } from '../protocol/shapes.ts'
import { isAlive, type ProcIdentity } from '../system/proc.ts'
import { lostExit, type Surroundings } from './lost-ranks.ts'
import { BLANK_RECORD, exitOf, readRecord, type ForkRecord } from './records.ts'

/** Full-size records for the first start of each rank; torch's own restarts would make theirs. */
export function prepareRanks(directory: string, nproc: number): void {
  mkdirSync(directory, { mode: 0o700 })
  for (let localRank = 0; localRank < nproc; localRank++)
    writeFileSync(join(directory, `${localRank}.0`), BLANK_RECORD, { mode: 0o600 })
}

export interface Ranks {
  /** the latest start of each local rank that has begun, by rank */
  reports: RankReport[]
  /** the ranks' shims that have not told an exit */
  shims: ProcIdentity[]
  /** the program of each rank that has not told an exit */
  processes: Map<number, ProcIdentity>
  /**
   * log prefix (`r3`, `r3.1`) of the rank that failed first, by its shim's clock on this node; null when none
   * did
   */
  firstFailed: string | null
}

export interface RankLook extends Surroundings {
  /** asked for a rank that ended by SIGKILL, by the name of its record */
  oom(name: string): boolean | null
  /** when each rank's shim was first seen dead without an exit, by the name of its record; is added to */
  lostAt: Map<string, number>
}

export function readRanks(directory: string, look: RankLook): Ranks {
  const latest = new Map<number, RankReport>()
  const shims: ProcIdentity[] = []
  const processes = new Map<number, ProcIdentity>()
  let first: { prefix: string; atMicros: number } | null = null
  for (const name of namesIn(directory)) {
    const [localRank, restart] = name.split('.').map(Number)
    let record = readRecord(join(directory, name))
    // it may have told its exit and ended just after we read
    if (record.shim !== null && record.exit === null && !isAlive(record.shim))
      record = { ...readRecord(join(directory, name)), shim: record.shim }
    if (record.shim === null || (latest.get(localRank!)?.restart ?? -1) > restart!) continue
    if (record.exit === null) shims.push(record.shim)
    if (record.exit === null && record.child !== null) processes.set(record.rank ?? localRank!, record.child)
    const report = reportOf(record, localRank!, restart!, endOf(record, name, look))
    latest.set(localRank!, report)
    const atMicros = record.exit?.atMicros ?? Infinity
    if (hasFailed(report) && (first === null || atMicros < first.atMicros))
      first = { prefix: restart === 0 ? `r${report.rank}` : `r${report.rank}.${restart}`, atMicros }
  }
  return {
    reports: [...latest.values()].toSorted((a, b) => a.rank - b.rank),
    shims,
    processes,
    firstFailed: first?.prefix ?? null,
  }
}

/** @returns null while it runs, and while nobody can know how it ended */
function endOf(record: ForkRecord, name: string, look: RankLook): RankReport['exit'] {
  const { exit, shim } = record
  if (exit !== null && exit.adopted !== true) return { ...exitOf(exit, () => look.oom(name)), killedBy: null }
  if (exit === null && !look.over && isAlive(shim!)) return null
  const seenAt = look.lostAt.get(name) ?? look.now
  look.lostAt.set(name, seenAt)
  return lostExit(record, seenAt, () => look.oom(name), look)
}

function reportOf(
  record: ForkRecord,
  localRank: number,
  restart: number,
  exit: RankReport['exit'],
): RankReport {
  return {
    rank: record.rank ?? localRank,
    localRank,
    restart,
    pid: record.child?.pid ?? null,
    state: exit === null ? 'running' : 'exited',
    exit,
    startedAt: record.child?.at ?? null,
    exitedAt: exit === null ? null : (record.exit?.at ?? null),
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory).filter((name) => /^\d+\.\d+$/.test(name))
  } catch (error) {
    if (isOutOfDescriptors(error)) throw error
    return []
  }
}

/** One that its launcher ended had a peer that failed, or was stopped. */
function hasFailed({ exit }: RankReport): boolean {
  return exit !== null && exit.killedBy === null && (exit.signal !== null || (exit.code ?? 0) !== 0)
}
