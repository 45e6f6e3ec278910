/**
 * The spool: where everything of a node's forks is on disk. Owns names and layout; the files' contents are
 * owned by the modules that write them.
 *
 *   format                 the number of this layout, as a link that points nowhere
 *   lock/<n>               owners (spool-lock.ts), the highest number is the present one
 *   tombstones/<forkId>    this id is refused for ever
 *   forks/<forkId>/        one fork:
 *     fork.json              its spec and leases
 *     exec                   words for the shim: the program, its environment
 *     started/               the barrier: the maker of this directory decides whether the fork runs
 *     record                 the shim's account of the fork
 *     set-up                 how far the set-up came
 *     ranks/<rank>.<restart> the same account of one rank, by its local number
 *     bindings.json          addresses for probes
 *     fence                  renewed by the agent (fence-file.ts)
 *     stopping               with a fence: who sends the signals of a stop, agent or shim
 *     saving.json            since a stop began: from where its word that it saved counts, and that word
 *     left.json              what ran on after the root's end and got a signal of ours
 *     notes.json             the agent's own
 *     verdict.json           ends that no shim could record
 *     error.json             torch's
 *   logs/<forkId>/         the log sources: here from the start, so that a release moves nothing
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { Fault } from '../protocol/faults.ts'

export function lockDir(spool: string): string {
  return join(spool, 'lock')
}
function tombstoneOf(spool: string, forkId: string): string {
  return join(spool, 'tombstones', forkId)
}
export function forkDirOf(spool: string, forkId: string): string {
  return join(spool, 'forks', forkId)
}
export function logDirOf(spool: string, forkId: string): string {
  return join(spool, 'logs', forkId)
}

export const fileOf = {
  fork: (forkDir: string) => join(forkDir, 'fork.json'),
  exec: (forkDir: string) => join(forkDir, 'exec'),
  record: (forkDir: string) => join(forkDir, 'record'),
  started: (forkDir: string) => join(forkDir, 'started'),
  ranks: (forkDir: string) => join(forkDir, 'ranks'),
  bindings: (forkDir: string) => join(forkDir, 'bindings.json'),
  notes: (forkDir: string) => join(forkDir, 'notes.json'),
  setUp: (forkDir: string) => join(forkDir, 'set-up'),
  fence: (forkDir: string) => join(forkDir, 'fence'),
  stopping: (forkDir: string) => join(forkDir, 'stopping'),
  left: (forkDir: string) => join(forkDir, 'left.json'),
  saving: (forkDir: string) => join(forkDir, 'saving.json'),
  verdict: (forkDir: string) => join(forkDir, 'verdict.json'),
  error: (forkDir: string) => join(forkDir, 'error.json'),
} as const

/** Raised when a file of a spool changes its name or form in a way that an older or newer agent misreads. */
const SPOOL_FORMAT = 1

/**
 * Like an owner's lock: made at once or not at all, and also on a full disk. @returns null when there is none
 */
function readFormat(spool: string): string | null {
  try {
    return readlinkSync(join(spool, 'format'))
  } catch {
    return null
  }
}

/**
 * Nothing of a spool in another format may be touched, not even its lock: its agent may be alive. A spool
 * that never held a fork gets this format.
 *
 * @throws {Fault} SPOOL when another version of Troupe made it
 */
function claimFormat(spool: string): void {
  const found = readFormat(spool)
  if (found === String(SPOOL_FORMAT)) return
  if (found === null && !existsSync(join(spool, 'forks'))) {
    mkdirSync(spool, { recursive: true, mode: 0o700 })
    try {
      return symlinkSync(String(SPOOL_FORMAT), join(spool, 'format'))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return claimFormat(spool)
      throw new Fault('SPOOL', `the spool cannot be written: ${(error as Error).message}`, { cause: error })
    }
  }
  const its = found === null ? 'has no format number' : `has format ${found}`
  throw new Fault('SPOOL', `the spool ${spool} ${its}; this version reads format ${SPOOL_FORMAT}`, {
    data: { spool, found, format: SPOOL_FORMAT },
    hint: 'end its workers with the version that made it (troupe down), then move the directory away',
  })
}

/** Environments and logs may hold secrets: nobody else may look into a spool. */
export function makeSpool(spool: string): void {
  claimFormat(spool)
  for (const name of ['lock', 'tombstones', 'forks', 'logs'])
    mkdirSync(join(spool, name), { recursive: true, mode: 0o700 })
}

export function listForks(spool: string): string[] {
  return readdirSync(join(spool, 'forks'))
}

export function isTombstoned(spool: string, forkId: string): boolean {
  return existsSync(tombstoneOf(spool, forkId))
}
export function writeTombstone(spool: string, forkId: string): void {
  return writeFileSync(tombstoneOf(spool, forkId), '')
}

/**
 * The barrier that the shim passes too: whoever makes the directory decides whether the fork ever runs.
 * Never recursive: that would succeed for both.
 * @returns false when somebody else made it
 */
export function winStarted(forkDir: string): boolean {
  try {
    mkdirSync(fileOf.started(forkDir))
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    // without the fork's directory, which a worker may have removed, no shim can begin either
    if (code === 'EEXIST' || code === 'ENOENT') return false
    throw error
  }
}
export function wasStarted(forkDir: string): boolean {
  return existsSync(fileOf.started(forkDir))
}

/**
 * Tombstones outlive every order that could still be under way: those are bound to one start of an agent and
 * to seconds.
 */
const TOMBSTONE_KEPT_MS = 30 * 24 * 3600 * 1000

/** An inode each. None of the last hour is given up for the count. */
const TOMBSTONES_MAX = 10_000
const TOMBSTONE_KEPT_AT_LEAST_MS = 3600 * 1000

/** Remove tombstones that are older than any order can be, and the oldest above their number. */
export function sweepTombstones(spool: string, now: number, most = TOMBSTONES_MAX): void {
  const ages = readdirSync(join(spool, 'tombstones'))
    .filter((forkId) => !existsSync(forkDirOf(spool, forkId)))
    .map((forkId) => {
      const file = tombstoneOf(spool, forkId)
      return { file, ageMs: now - (statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? now) }
    })
    .toSorted((a, b) => a.ageMs - b.ageMs)
  ages.forEach(({ file, ageMs }, i) => {
    if (ageMs > (i < most ? TOMBSTONE_KEPT_MS : TOMBSTONE_KEPT_AT_LEAST_MS)) rmSync(file, { force: true })
  })
}
