/**
 * The state of a Linux host: its forks, the lock of its spool, and the context that forks share once the
 * spool is recovered. Owns which forks there are; the host's calls are linux-host.ts and the files beside it.
 */
import { Fault } from '../protocol/faults.ts'
import type { HostEvent, LinkEnds } from '../protocol/host.ts'
import { parseForkId } from '../protocol/names.ts'
import type { NumberedLock } from '../system/numbered-lock.ts'
import { readOomKills } from '../system/proc.ts'
import { readCapacity } from './capacity.ts'
import { findCgroups, type Cgroups } from './cgroup.ts'
import type { ForkOnDisk } from './fork-files.ts'
import type { Fork, HostContext } from './fork-life.ts'
import { createLogRetention, type LogRetention } from './log-retention.ts'
import { forkDirOf, isTombstoned } from './spool.ts'

export interface LinuxHostOptions {
  spoolDir: string
  node: string
  agentEnv: Record<string, string>
  /** to the bus, as it is now; absent or null: there is none */
  link?: () => LinkEnds | null
  /** argv prefix, from `buildShim` */
  shim: string[]
  portRange?: [number, number]
  /** per-node caches of the workers (compiled kernels) */
  cacheDir: string
  version?: string
  logRetentionMs?: number
  logRetainedBytesMax?: number
  /** released forks whose logs are kept */
  logRetainedForksMax?: number
  clockWall?: () => number
  /** false: do not use cgroups even where they can be had */
  cgroups?: boolean
  /** how long a SIGKILL may take to work before what is left is a survivor */
  killBudgetMs?: number
}

export interface HostState {
  readonly options: LinuxHostOptions
  readonly wall: () => number
  readonly capacity: ReturnType<typeof readCapacity>
  readonly cgroups: Cgroups | null
  readonly logs: LogRetention
  readonly forks: Map<string, Fork>
  /** released with survivors: their leases wait for these */
  readonly lingering: Set<Fork>
  readonly timers: NodeJS.Timeout[]
  lock: NumberedLock | null
  /** there once the spool is ours */
  context: HostContext | null
  oomKills: number | null
  listener: ((event: HostEvent) => void) | null
  closed: boolean
  turns: Promise<void>
}

export function linkOf({ link }: LinuxHostOptions): LinkEnds | null {
  return link?.() ?? null
}

export function newHostState(options: LinuxHostOptions): HostState {
  const { spoolDir, agentEnv, clockWall: wall = Date.now } = options
  const capacity = readCapacity(agentEnv, options.version, linkOf(options))
  // Each call that awaits it sees the fault. No call has to.
  capacity.catch(() => {})
  return {
    options,
    wall,
    capacity,
    cgroups: options.cgroups === false ? null : findCgroups(spoolDir),
    logs: createLogRetention(options, wall),
    forks: new Map(),
    lingering: new Set(),
    timers: [],
    lock: null,
    context: null,
    oomKills: readOomKills(),
    listener: null,
    closed: false,
    turns: Promise.resolve(),
  }
}

/** Tell the listener: never from inside a call, and in order. */
export function emit(state: HostState, event: HostEvent): void {
  setImmediate(() => state.closed || state.listener?.(event))
}

/** @throws {Fault} LOCKED when the spool is not ours */
export function owned({ context, lock }: HostState): HostContext {
  if (context !== null && lock?.held() === true) return context
  throw new Fault(
    'LOCKED',
    context === null ? 'the spool is not recovered yet' : 'another agent has taken the spool',
  )
}

/** @throws {Fault} CANCELLED, WORKER_CREATE */
export function known({ forks, options }: HostState, forkId: string): Fork {
  const fork = forks.get(forkId)
  if (fork !== undefined) return fork
  throw isTombstoned(options.spoolDir, forkId)
    ? new Fault('CANCELLED', `${forkId} was cancelled`)
    : new Fault('WORKER_CREATE', `${forkId} is not prepared on ${options.node}`)
}

export function hold({ forks, options }: HostState, { spec, prepared }: ForkOnDisk): Fork {
  const fork: Fork = {
    spec,
    prepared,
    forkDir: forkDirOf(options.spoolDir, spec.forkId),
    starting: null,
    started: null,
    observer: null,
    probe: null,
    saving: null,
    telling: Promise.resolve(),
    aborted: false,
  }
  forks.set(spec.forkId, fork)
  return fork
}

/**
 * Blocking work (files, spawn) takes one round of the event loop for each fork: beats, exits and answers of
 * other forks must not wait for hundreds of them. An agent that started 400 at once was silent for seconds,
 * and suspected for it.
 */
export function turn(state: HostState): Promise<void> {
  state.turns = state.turns.then(() => new Promise((resolve) => setImmediate(resolve)))
  return state.turns
}

/** Fork ids become file names. */
export function checkId(forkId: string): void {
  if (parseForkId(forkId) === null) throw new Fault('REQUEST_INVALID', `'${forkId}' is no fork id`)
}
