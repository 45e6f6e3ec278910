/**
 * The ProcessHost of a Linux node: puts together spool, lock, leases, shim, observers and probes. Owns which fork is in which phase
 * and when its leases end; facts about processes come from observe.ts, rules about files from spool.ts.
 */
import { createHash } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Fault } from '../protocol/faults.ts'
import { parseForkId } from '../protocol/names.ts'
import type { Bindings, ForkSpec } from '../protocol/resolved.ts'
import { LogOffsets } from '../protocol/shapes.ts'
import { readJsonSync, replaceFileSync } from '../system/files.ts'
import { isAlive, readBootId, readOomKills, residentBytes } from '../system/proc.ts'
import { signalNumber } from '../system/signals.ts'
import { callPreStop, runBeside } from './beside.ts'
import { readCapacity } from './capacity.ts'
import { findCgroups, removeCgroup } from './cgroup.ts'
import { readExecFile, writeExecFile } from './exec-file.ts'
import { fillCall, planExec } from './exec-plan.ts'
import { makeForkFiles, readBindings, readForkFiles, removeForkFiles, writeBindings, type ForkOnDisk } from './fork-files.ts'
import { chooseHost } from './host-choice.ts'
import { createLeases, type Leases } from './leases.ts'
import { createLedger } from './ledger.ts'
import { takeLock, type Lock } from './lock.ts'
import { observeFork, type Observer } from './observe.ts'
import { createPortLeaser } from './ports.ts'
import { startProbe } from './probes.ts'
import type { HostEvent, Prepared, ProcessHost, Recovered, Started } from './process-host.ts'
import { exitOf, unknownExit, type ForkRecord } from './records.ts'
import { findFork, shimRuns } from './recover-fork.ts'
import { sweepLogs } from './retention.ts'
import { spawnShim } from './spawn-shim.ts'
import { fileOf, forkDirOf, isTombstoned, listForks, lockDir, logDirOf, makeSpool, sweepTombstones, wasStarted, winStarted, writeTombstone } from './spool.ts'
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
  clockWall?: () => number
  /** false: do not use cgroups even where they can be had */
  cgroups?: boolean
  /** how long a SIGKILL may take to work before what is left is a survivor */
  killBudgetMs?: number
}

const DAY_MS = 24 * 3600 * 1000
const POLL_MS = 1000
const SWEEP_MS = 10 * 60 * 1000

/** One fork that is not released. */
interface Fork extends ForkOnDisk {
  forkDir: string
  starting: Promise<Started> | null
  started: Started | null
  observer: Observer | null
  probe: { stop(): void } | null
  /** never ran and never will */
  aborted: boolean
}

export const createLinuxHost = (options: LinuxHostOptions): ProcessHost => {
  const { spoolDir, node, agentEnv, shim, cacheDir, clockWall: wall = Date.now } = options
  const forks = new Map<string, Fork>()
  /** released with survivors: their leases wait for these */
  const lingering = new Set<Fork>()
  const bootId = readBootId()
  const capacity = readCapacity(agentEnv, options.version)
  // whoever awaits it sees the fault; nobody has to
  capacity.catch(() => {})
  const cgroups = options.cgroups === false ? null : findCgroups(createHash('sha256').update(spoolDir).digest('hex').slice(0, 8))
  let lock: Lock | null = null
  let leases: Leases | null = null
  let oomKills = readOomKills()
  let listener: (event: HostEvent) => void = () => {}
  let closed = false
  const timers: NodeJS.Timeout[] = []

  /** never from inside a call, and in order */
  const emit = (event: HostEvent): void => void setImmediate(() => closed || listener(event))

  const owned = (): Leases => {
    if (lock === null || leases === null || !lock.held()) throw new Fault('LOCKED', lock === null ? 'the spool is not recovered yet' : 'another agent has taken the spool')
    return leases
  }
  const known = (forkId: string): Fork => {
    const fork = forks.get(forkId)
    if (fork !== undefined) return fork
    throw isTombstoned(spoolDir, forkId) ? new Fault('CANCELLED', `${forkId} was cancelled`) : new Fault('WORKER_CREATE', `${forkId} is not prepared on ${node}`)
  }
  /** fork ids become file names */
  const checkId = (forkId: string): void => {
    if (parseForkId(forkId) === null) throw new Fault('REQUEST_INVALID', `'${forkId}' is no fork id`)
  }

  const hold = ({ spec, prepared }: ForkOnDisk): Fork => {
    const fork: Fork = { spec, prepared, forkDir: forkDirOf(spoolDir, spec.forkId), starting: null, started: null, observer: null, probe: null, aborted: false }
    forks.set(spec.forkId, fork)
    return fork
  }
  const endLeases = (fork: Fork): void => {
    fork.probe?.stop()
    void leases?.release(fork.spec.forkId)
  }

  /** @param recovering  while it says true nothing is told: `recover` returns what is found */
  const observe = (fork: Fork, { onLook, recovering }: { onLook?: (record: ForkRecord) => void; recovering?: () => boolean }): Observer => {
    const { forkId } = fork.spec
    const exec = readExecFile(fileOf.exec(fork.forkDir))
    return observeFork({
      forkId,
      forkDir: fork.forkDir,
      logDir: logDirOf(spoolDir, forkId),
      hasRanks: fork.spec.torchrun !== null,
      cgroup: exec?.cgroup ?? null,
      oomKills: exec?.oomKills ?? null,
      wall,
      ...(options.killBudgetMs !== undefined && { killBudgetMs: options.killBudgetMs }),
      emit(event) {
        if (event.what === 'exited') fork.probe?.stop()
        if (recovering?.() !== true) emit(event)
      },
      ...(onLook && { onLook }),
      onEnd: () => endLeases(fork),
    })
  }

  const logFiles = (forkId: string): string[] => readdirSync(logDirOf(spoolDir, forkId)).map((source) => join(logDirOf(spoolDir, forkId), source))
  const placeOf = (fork: Fork) => readExecFile(fileOf.exec(fork.forkDir)) ?? { cwd: '/', env: {} }
  const probe = (fork: Fork, bindings: Bindings): void => {
    const { spec, prepared } = fork
    if (spec.ready === null || fork.started?.pid == null || fork.observer?.facts.exit != null) return
    fork.probe = startProbe({
      probe: fillCall(spec.ready, { spec, prepared, bindings, node }),
      host: prepared.host,
      ports: prepared.ports,
      run: (argv, timeoutMs) => runBeside(placeOf(fork), argv, timeoutMs),
      logFiles: () => logFiles(spec.forkId),
      onChange: (ready, reason) => emit({ what: 'probe', forkId: spec.forkId, ready, reason }),
    })
  }

  const startFork = async (fork: Fork, bindings: Bindings): Promise<Started> => {
    const { spec, prepared, forkDir } = fork
    const { forkId } = spec
    const plan = planExec({ spec, prepared, bindings, forkDir, node, agentEnv, cacheDir, nodeCores: (await capacity).capacity.cpus, workersOnNode: owned().size, shim, python: options.python ?? null })
    const cgroup = cgroups?.make(forkId) ?? null
    writeExecFile(fileOf.exec(forkDir), { ...plan, logDir: logDirOf(spoolDir, forkId), cgroup, bootId, oomKills })
    if (spec.ready !== null || spec.preStop !== null) writeBindings(forkDir, bindings)
    await owned().handOver(forkId)
    if (fork.aborted) throw new Fault('CANCELLED', `${forkId} was cancelled`)
    let seen: (record: ForkRecord) => void = () => {}
    const observer = observe(fork, { onLook: (record) => seen(record) })
    fork.observer = observer
    const giveUp = (fault: Fault): never => {
      observer.close()
      fork.observer = null
      if (cgroup !== null) removeCgroup(cgroup)
      throw fault
    }
    const start = spawnShim({
      argv: [...shim, forkDir],
      env: shimEnvironment(agentEnv),
      look(ended) {
        observer.check(ended)
        return observer.facts.record
      },
      onEnd: () => observer.check(true),
    })
    seen = start.seen
    const record = await start.done.catch((error: Fault) => {
      // a start that only takes too long may still come about, and is then there to be killed
      if (wasStarted(forkDir)) throw error
      return giveUp(error)
    })
    if (record.shim === null)
      return giveUp(fork.aborted || isTombstoned(spoolDir, forkId) ? new Fault('CANCELLED', `${forkId} was cancelled`) : new Fault('WORKER_CREATE', `the shim of ${forkId} ended before it started anything`))
    fork.started = startedOf(record, wall())
    probe(fork, bindings)
    return fork.started
  }

  /** all or nothing; one at a time, so that the same order twice finds the first one's forks */
  const prepareForks = async (specs: readonly ForkSpec[]): Promise<Prepared[]> => {
    const { interfaces, host } = (await capacity).capacity
    const made: ForkSpec[] = []
    try {
      const prepared: Prepared[] = []
      for (const spec of specs) {
        checkId(spec.forkId)
        const before = forks.get(spec.forkId)
        if (before?.aborted === true || isTombstoned(spoolDir, spec.forkId)) throw new Fault('CANCELLED', `${spec.forkId} was cancelled`)
        if (before === undefined) {
          made.push(spec)
          const fork = { spec, prepared: { ...(await owned().take(spec)), host: spec.network === null ? host : chooseHost(spec.network, interfaces), preparedAt: wall() } }
          if (isTombstoned(spoolDir, spec.forkId)) throw new Fault('CANCELLED', `${spec.forkId} was cancelled`)
          makeForkFiles(spoolDir, fork)
          hold(fork)
        }
        prepared.push(forks.get(spec.forkId)!.prepared)
      }
      return prepared
    } catch (error) {
      for (const { forkId } of made) {
        await leases?.release(forkId)
        if (forks.delete(forkId)) removeForkFiles(spoolDir, forkId, { logs: true })
      }
      throw error
    }
  }
  let preparing: Promise<Prepared[]> = Promise.resolve([])

  /** @returns true when it is certain that nothing of the fork runs or will */
  const abort = (fork: Fork): boolean => {
    if (fork.aborted) return true
    if (winStarted(fork.forkDir)) {
      fork.aborted = true
      endLeases(fork)
      return true
    }
    if (fork.observer !== null) return fork.observer.facts.receipt?.outcome === 'gone'
    if (shimRuns(fork.forkDir)) return false
    fork.aborted = true
    endLeases(fork)
    return true
  }

  const recoverFork = async (forkId: string): Promise<Recovered | null> => {
    const onDisk = readForkFiles(spoolDir, forkId)
    if (onDisk === null) {
      removeForkFiles(spoolDir, forkId, { logs: true })
      return null
    }
    const found = await findFork(spoolDir, forkId, bootId)
    const fork = hold(onDisk)
    const facts: Recovered = {
      ...onDisk,
      phase: 'prepared',
      started: null,
      exit: null,
      stderrTail: [],
      errorFile: null,
      receipt: null,
      ranks: [],
      notes: (readJsonSync(fileOf.notes(fork.forkDir)) ?? {}) as Record<string, unknown>,
      logsFinal: null,
    }
    facts.logsFinal = LogOffsets.safeParse(facts.notes['logsFinal']).data ?? null
    if (found.kind === 'prepared' || found.kind === 'started') await leases!.adopt(fork.spec, fork.prepared)
    else fork.aborted = true
    if (found.kind === 'cancelled' || found.kind === 'prepared') return { ...facts, phase: found.kind }
    if (found.kind === 'started') {
      let recovering = true
      const observer = observe(fork, { recovering: () => recovering })
      fork.observer = observer
      fork.started = facts.started = startedOf(found.record, wall())
      observer.check(true)
      recovering = false
      const { exit, stderrTail, errorFile, ranks, receipt, goneAt } = observer.facts
      return { ...facts, phase: receipt !== null ? 'gone' : exit !== null ? 'exited' : 'running', exit, stderrTail, errorFile, ranks, receipt: receipt && { ...receipt, ms: Math.max(0, (goneAt ?? 0) - (exit?.exitedAt ?? 0)) } }
    }
    return { ...facts, phase: 'gone', ...endOfLost(found.kind === 'rebooted' ? found.record : null, found.kind === 'rebooted' ? 'the machine was booted again' : 'the shim was killed before it started anything', wall()) }
  }

  const poll = (): void => {
    oomKills = readOomKills()
    for (const fork of forks.values()) fork.observer?.check(true)
    for (const fork of lingering) if (membersOf(fork.observer!.tree).length === 0 && lingering.delete(fork)) endLeases(fork)
  }
  const sweep = (): void => {
    sweepLogs(join(spoolDir, 'logs'), (forkId) => forks.has(forkId), { ageMsMax: options.logRetentionMs ?? DAY_MS, bytesMax: options.logRetainedBytesMax ?? Infinity }, wall())
    sweepTombstones(spoolDir, wall())
  }
  const every = (ms: number, run: () => void): void => {
    timers.push(setInterval(() => lock?.held() === true && run(), ms).unref())
  }

  return {
    capacity: async () => (await capacity).capacity,

    async recover() {
      const { capacity: { gpus, memoryBytes }, cores } = await capacity
      makeSpool(spoolDir)
      lock = await takeLock(lockDir(spoolDir))
      leases = createLeases(createLedger({ gpus, cpus: cores, memoryBytes }), createPortLeaser(options.portRange && { from: options.portRange[0], to: options.portRange[1] }))
      const found: Recovered[] = []
      for (const forkId of listForks(spoolDir)) {
        const recovered = await recoverFork(forkId)
        if (recovered !== null) found.push(recovered)
      }
      for (const fork of forks.values()) probe(fork, readBindings(fork.forkDir))
      sweep()
      every(POLL_MS, poll)
      every(SWEEP_MS, sweep)
      return found
    },

    prepare: (specs) => (preparing = preparing.then(() => prepareForks(specs), () => prepareForks(specs))),

    async drop(forkId) {
      owned()
      const fork = forks.get(forkId)
      if (fork === undefined || fork.aborted || !winStarted(fork.forkDir)) return
      fork.aborted = true
      forks.delete(forkId)
      removeForkFiles(spoolDir, forkId, { logs: true })
      await leases?.release(forkId)
    },

    async start(forkId, bindings) {
      owned()
      const fork = known(forkId)
      if (fork.aborted || isTombstoned(spoolDir, forkId)) throw new Fault('CANCELLED', `${forkId} was cancelled`)
      if (fork.started !== null) return fork.started
      fork.starting ??= startFork(fork, bindings).finally(() => (fork.starting = null))
      return fork.starting
    },

    async cancel(forkId) {
      owned()
      checkId(forkId)
      writeTombstone(spoolDir, forkId)
      const fork = forks.get(forkId)
      return fork === undefined || abort(fork)
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
      // a shim that is about to start its program is part of the tree; one that hangs there is killed as it is
      await Promise.race([fork?.starting?.catch(() => {}), sleep(1000)])
      await fork?.observer?.kill()
    },

    async preStop(forkId) {
      const fork = forks.get(forkId)
      if (fork?.spec.preStop == null) return
      const call = fillCall(fork.spec.preStop, { ...fork, bindings: readBindings(fork.forkDir), node })
      await callPreStop(call, placeOf(fork), fork.prepared.host, fork.prepared.ports)
    },

    async note(forkId, notes) {
      const fork = forks.get(forkId)
      if (fork === undefined) return
      try {
        replaceFileSync(fileOf.notes(fork.forkDir), JSON.stringify(notes))
      } catch (error) {
        throw new Fault('SPOOL', `the spool cannot be written: ${(error as Error).message}`, { cause: error })
      }
    },

    async release(forkId) {
      owned()
      checkId(forkId)
      const fork = forks.get(forkId)
      if (fork === undefined) return
      if (!fork.aborted && fork.observer !== null && fork.observer.facts.receipt === null) throw new Fault('FAILED', `${forkId} has not ended`)
      writeTombstone(spoolDir, forkId)
      fork.observer?.close()
      forks.delete(forkId)
      removeForkFiles(spoolDir, forkId, { logs: false })
      if (fork.observer !== null && membersOf(fork.observer.tree).length > 0) lingering.add(fork)
      else endLeases(fork)
    },

    async measure(forkId) {
      const observer = forks.get(forkId)?.observer
      const members = observer ? membersOf(observer.tree) : []
      return { processes: members.length, rssBytes: members.reduce((sum, { pid }) => sum + residentBytes(pid), 0) }
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
      await leases?.close()
      if (lock?.held() === true) lock.release()
    },
  }
}

const startedOf = (record: ForkRecord, now: number): Started => ({ pid: record.child?.pid ?? null, startedAt: record.child?.at ?? record.exit?.at ?? now })

/** The end of a fork whose shim can tell no more: what it recorded, else that nobody knows. Nothing of it can be left. */
const endOfLost = (record: ForkRecord | null, reason: string, now: number): Pick<Recovered, 'started' | 'exit' | 'receipt'> => ({
  started: record === null ? null : startedOf(record, now),
  exit: record?.exit ? { ...exitOf(record.exit, () => null), exitedAt: record.exit.at } : { ...unknownExit(reason), exitedAt: now },
  receipt: { outcome: 'gone', survivors: [], reason: null, ms: 0 },
})

/** What a shim needs to run at all; its program gets its environment from the exec file. */
const shimEnvironment = (agentEnv: Record<string, string>): Record<string, string> =>
  Object.fromEntries(['PATH', 'LD_LIBRARY_PATH'].filter((name) => agentEnv[name] !== undefined).map((name) => [name, agentEnv[name]!]))
