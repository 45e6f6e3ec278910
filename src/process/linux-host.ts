/**
 * The ProcessHost of a Linux node: puts together lock, capacity, leases and forks, and answers what an agent
 * asks. Owns which forks there are; what happens to one is fork-life.ts, facts about its processes come from
 * observe.ts, names of files from spool.ts.
 */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Fault } from '../protocol/faults.ts'
import { parseForkId } from '../protocol/names.ts'
import type { ForkSpec } from '../protocol/launch/resolved.ts'
import type { NumberedLock } from '../system/numbered-lock.ts'
import { overwriteFileSync, removeTreeSync } from '../system/files.ts'
import { isAlive, readBootId, readOomKills, residentBytes } from '../system/proc.ts'
import { signalNumber } from '../protocol/signals.ts'
import { callPreStop } from './hooks.ts'
import { renewFence } from './fence-file.ts'
import { readCapacity } from './capacity.ts'
import { findCgroups } from './cgroup.ts'
import { fillCall } from './exec-plan.ts'
import { makeForkFiles, readBindings, removeForkFiles, type ForkOnDisk } from './fork-files.ts'
import {
  abortFork,
  endLeases,
  workerContextOf,
  probeFork,
  startFork,
  type Fork,
  type HostContext,
} from './fork-life.ts'
import { chooseHost } from './host-choice.ts'
import { createGpuClaims } from './gpu-claims.ts'
import { createLeases } from './leases.ts'
import { createResourceLeases } from './resource-leases.ts'
import { takeSpoolLock } from './spool-lock.ts'
import { createPortLeaser } from './ports.ts'
import type { HostEvent, Prepared, Recovered } from '../protocol/host.ts'
import type { ProcessHost } from './process-host.ts'
import { recoverFork } from './recover-fork.ts'
import { sweepLogs } from './retention.ts'
import {
  fileOf,
  forkDirOf,
  isTombstoned,
  listForks,
  lockDir,
  logDirOf,
  makeSpool,
  sweepTombstones,
  winStarted,
  writeTombstone,
} from './spool.ts'
import { membersOf } from './tree.ts'

export interface LinuxHostOptions {
  spoolDir: string
  node: string
  agentEnv: Record<string, string>
  /** argv prefix, from `buildShim` */
  shim: string[]
  portRange?: [number, number]
  /** per-node caches of the workers (compiled kernels) */
  cacheDir: string
  /** interpreter that has torch; null: looked for on the worker's PATH */
  python?: string | null
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

const DAY_MS = 24 * 3600 * 1000
const POLL_MS = 1000
const SWEEP_MS = 10 * 60 * 1000
const RETAINED_FORKS_MAX = 10_000

export function createLinuxHost(options: LinuxHostOptions): ProcessHost {
  const { spoolDir, node, agentEnv, shim, cacheDir, clockWall: wall = Date.now } = options
  const forks = new Map<string, Fork>()
  /** released with survivors: their leases wait for these */
  const lingering = new Set<Fork>()
  const capacity = readCapacity(agentEnv, options.version)
  // whoever awaits it sees the fault; nobody has to
  capacity.catch(() => {})
  const cgroups = options.cgroups === false ? null : findCgroups(spoolDir)
  let lock: NumberedLock | null = null
  /** there once the spool is ours */
  let context: HostContext | null = null
  let oomKills = readOomKills()
  let listener: ((event: HostEvent) => void) | null = null
  let closed = false
  const timers: NodeJS.Timeout[] = []

  /** never from inside a call, and in order */
  const emit = (event: HostEvent): void => void setImmediate(() => closed || listener?.(event))

  const owned = (): HostContext => {
    if (context === null || lock?.held() !== true)
      throw new Fault(
        'LOCKED',
        context === null ? 'the spool is not recovered yet' : 'another agent has taken the spool',
      )
    return context
  }
  const known = (forkId: string): Fork => {
    const fork = forks.get(forkId)
    if (fork !== undefined) return fork
    throw isTombstoned(spoolDir, forkId)
      ? new Fault('CANCELLED', `${forkId} was cancelled`)
      : new Fault('WORKER_CREATE', `${forkId} is not prepared on ${node}`)
  }

  const hold = ({ spec, prepared }: ForkOnDisk): Fork => {
    const fork: Fork = {
      spec,
      prepared,
      forkDir: forkDirOf(spoolDir, spec.forkId),
      starting: null,
      started: null,
      observer: null,
      probe: null,
      aborted: false,
    }
    forks.set(spec.forkId, fork)
    return fork
  }

  /**
   * What blocks (files, spawn) takes one round of the event loop for each fork: beats, exits and answers of
   * other forks must not wait for hundreds of them. An agent that started 400 at once was silent for seconds,
   * and suspected for it.
   */
  let turns: Promise<void> = Promise.resolve()
  const turn = (): Promise<void> =>
    (turns = turns.then(() => new Promise((resolve) => setImmediate(resolve))))

  /** all or nothing; one at a time, so that the same order twice finds the first one's forks */
  const prepareForks = async (specs: readonly ForkSpec[]): Promise<Prepared[]> => {
    const { interfaces, host } = (await capacity).capacity
    const made: ForkSpec[] = []
    try {
      const prepared: Prepared[] = []
      for (const spec of specs) {
        checkId(spec.forkId)
        await turn()
        const before = forks.get(spec.forkId)
        if (before?.aborted === true || isTombstoned(spoolDir, spec.forkId))
          throw new Fault('CANCELLED', `${spec.forkId} was cancelled`)
        if (before === undefined) {
          made.push(spec)
          const fork = {
            spec,
            prepared: {
              ...(await owned().leases.take(spec)),
              host: spec.network === null ? host : chooseHost(spec.network, interfaces),
              preparedAt: wall(),
            },
          }
          if (isTombstoned(spoolDir, spec.forkId))
            throw new Fault('CANCELLED', `${spec.forkId} was cancelled`)
          makeForkFiles(spoolDir, fork)
          hold(fork)
        }
        prepared.push(forks.get(spec.forkId)!.prepared)
      }
      return prepared
    } catch (error) {
      for (const { forkId } of made) {
        await context?.leases.release(forkId)
        if (forks.delete(forkId)) removeForkFiles(spoolDir, forkId, { logs: true })
      }
      throw error
    }
  }
  let preparing: Promise<Prepared[]> = Promise.resolve([])

  const poll = (): void => {
    oomKills = readOomKills()
    for (const fork of forks.values()) fork.observer?.check(true)
    context?.leases.tend()
    for (const fork of lingering)
      if (membersOf(fork.observer!.tree).length === 0 && lingering.delete(fork)) endLeases(context!, fork)
  }
  const retained = {
    ageMsMax: options.logRetentionMs ?? DAY_MS,
    bytesMax: options.logRetainedBytesMax ?? Infinity,
    forksMax: options.logRetainedForksMax ?? RETAINED_FORKS_MAX,
  }
  /** released forks whose logs are kept, oldest first */
  let kept = new Set<string>()
  const keepLogs = (forkId: string): void => {
    kept.add(forkId)
    if (kept.size <= retained.forksMax) return
    const [oldest] = kept
    kept.delete(oldest!)
    removeTreeSync(logDirOf(spoolDir, oldest!))
  }
  const sweep = (): void => {
    kept = new Set(sweepLogs(join(spoolDir, 'logs'), (forkId) => forks.has(forkId), retained, wall()))
    sweepTombstones(spoolDir, wall())
    cgroups?.sweep((forkId) => forks.has(forkId))
  }
  const every = (ms: number, run: () => void): void => {
    timers.push(setInterval(() => lock?.held() === true && run(), ms).unref())
  }

  return {
    capacity: async () => (await capacity).capacity,

    async recover() {
      const {
        capacity: { gpus, memoryBytes },
        cores,
      } = await capacity
      makeSpool(spoolDir)
      lock = await takeSpoolLock(lockDir(spoolDir))
      const leases = createLeases(
        createResourceLeases({ gpus, cpus: cores, memoryBytes }),
        createPortLeaser(options.portRange && { from: options.portRange[0], to: options.portRange[1] }),
        createGpuClaims(gpus),
      )
      const { python = null, killBudgetMs } = options
      context = {
        spoolDir,
        node,
        agentEnv,
        shim,
        cacheDir,
        python,
        nodeCores: cores.length,
        bootId: readBootId(),
        cgroups,
        leases,
        killBudgetMs,
        wall,
        oomKills: () => oomKills,
        emit,
      }
      const found: Recovered[] = []
      for (const forkId of listForks(spoolDir)) {
        const recovered = await recoverFork(context, forkId, hold)
        if (recovered !== null) found.push(recovered)
      }
      for (const fork of forks.values()) probeFork(context, fork, readBindings(fork.forkDir))
      sweep()
      every(POLL_MS, poll)
      every(SWEEP_MS, sweep)
      return found
    },

    prepare: (specs) =>
      (preparing = preparing.then(
        () => prepareForks(specs),
        () => prepareForks(specs),
      )),

    async drop(forkId) {
      owned()
      const fork = forks.get(forkId)
      if (fork === undefined || fork.aborted || !winStarted(fork.forkDir)) return
      fork.aborted = true
      forks.delete(forkId)
      removeForkFiles(spoolDir, forkId, { logs: true })
      await context?.leases.release(forkId)
    },

    async start(forkId, bindings) {
      owned()
      const fork = known(forkId)
      if (fork.aborted || isTombstoned(spoolDir, forkId))
        throw new Fault('CANCELLED', `${forkId} was cancelled`)
      if (fork.started !== null) return fork.started
      fork.starting ??= turn()
        .then(() => startFork(owned(), fork, bindings))
        .finally(() => (fork.starting = null))
      return fork.starting
    },

    async cancel(forkId) {
      const host = owned()
      checkId(forkId)
      writeTombstone(spoolDir, forkId)
      const fork = forks.get(forkId)
      return fork === undefined || abortFork(host, fork)
    },

    signalTree: (forkId, signal) => forks.get(forkId)?.observer?.signal(signal),

    signalOne(forkId, signal, rank) {
      const fork = forks.get(forkId)
      const number = signalNumber(signal)
      const target = rank === null ? fork?.observer?.tree.child : fork?.observer?.rankProcess(rank)
      if (target == null || number === null || !isAlive(target)) return false
      process.kill(target.pid, number)
      return true
    },

    async killTree(forkId) {
      const fork = forks.get(forkId)
      // a shim that is about to start its program is part of the tree; one that hangs there is killed as it
      // is
      await Promise.race([fork?.starting?.catch(() => {}), sleep(1000)])
      await fork?.observer?.kill()
    },

    async preStop(forkId) {
      const fork = forks.get(forkId)
      if (fork?.spec.preStop == null) return
      const call = fillCall(fork.spec.preStop, { ...fork, bindings: readBindings(fork.forkDir), node })
      await callPreStop(call, workerContextOf(fork), fork.prepared.host, fork.prepared.ports)
    },

    renewFences(ageMs) {
      if (lock?.held() !== true) return
      for (const { spec, forkDir, observer, aborted } of forks.values())
        if (spec.fenceAfterMs !== null && !aborted && observer?.facts.receipt == null)
          renewFence(forkDir, spec, ageMs)
    },

    async note(forkId, notes) {
      const fork = forks.get(forkId)
      if (fork === undefined) return
      try {
        overwriteFileSync(fileOf.notes(fork.forkDir), JSON.stringify(notes))
      } catch (error) {
        throw new Fault('SPOOL', `the spool cannot be written: ${(error as Error).message}`, { cause: error })
      }
    },

    async release(forkId) {
      checkId(forkId)
      await turn()
      owned()
      const fork = forks.get(forkId)
      if (fork === undefined) return
      if (!fork.aborted && fork.observer !== null && fork.observer.facts.receipt === null)
        throw new Fault('FAILED', `${forkId} has not ended`)
      writeTombstone(spoolDir, forkId)
      fork.observer?.close()
      forks.delete(forkId)
      removeForkFiles(spoolDir, forkId, { logs: false })
      keepLogs(forkId)
      // of every other end the receipt is the proof; to look at all processes for each fork would be dear
      if (fork.observer?.facts.receipt?.outcome === 'survivors' && membersOf(fork.observer.tree).length > 0)
        lingering.add(fork)
      else endLeases(owned(), fork)
    },

    async measure(forkId) {
      const observer = forks.get(forkId)?.observer
      const members = observer ? membersOf(observer.tree) : []
      return {
        processes: members.length,
        rssBytes: members.reduce((sum, { pid }) => sum + residentBytes(pid), 0),
      }
    },

    logDir: (forkId) => logDirOf(spoolDir, forkId),
    onEvent: (fn) => void (listener = fn),

    async close() {
      closed = true
      for (const timer of timers) clearInterval(timer)
      for (const fork of forks.values()) {
        fork.probe?.stop()
        fork.observer?.close()
      }
      await context?.leases.close()
      if (lock?.held() === true) lock.release()
    },
  }
}

/** Fork ids become file names. */
function checkId(forkId: string): void {
  if (parseForkId(forkId) === null) throw new Fault('REQUEST_INVALID', `'${forkId}' is no fork id`)
}
