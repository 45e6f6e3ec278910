/**
 * One fork from its start to its end: the start through the shim, the observer, the probe, the abort. Owns
 * what happens to a fork; which forks there are, and what agents ask, is linux-host.ts.
 */
import { Fault } from '../protocol/faults.ts'
import type { Bindings } from '../protocol/launch/resolved.ts'
import { runHook, type WorkerContext } from './hooks.ts'
import { removeCgroup, type Cgroups } from './cgroup.ts'
import { readExecFile, writeExecFile } from './exec-file.ts'
import { fillCall, MARKER, planExec } from './exec-plan.ts'
import { restoreForkFiles, writeBindings, type ForkOnDisk } from './fork-files.ts'
import type { Leases } from './leases.ts'
import { observeFork } from './observe.ts'
import type { ObserveOptions, Observer } from './observer.ts'
import { startProbe } from './probes.ts'
import type { HostEvent, Started } from '../protocol/host.ts'
import type { ForkRecord } from './records.ts'
import {
  beginSaving,
  logFilesOf,
  resumeSaving,
  type SavedWatch,
  type SavedWatchInput,
} from './saved-watch.ts'
import { shimRuns } from './find-fork.ts'
import { spawnShim, type StartWait } from './spawn-shim.ts'
import { isEscaped } from '../system/exact-env.ts'
import { shellWords } from '../system/shell-state.ts'
import { fileOf, isTombstoned, logDirOf, wasStarted, winStarted } from './spool.ts'

/** What all forks of a host share. */
export interface HostContext {
  spoolDir: string
  node: string
  agentEnv: Record<string, string>
  shim: string[]
  cacheDir: string
  nodeCores: number
  bootId: string
  cgroups: Cgroups | null
  leases: Leases
  killBudgetMs: number | undefined
  wall: () => number
  /** the machine's count of OOM kills, a moment ago */
  oomKills: () => number | null
  emit(event: HostEvent): void
}

/** One fork that is not released. */
export interface Fork extends ForkOnDisk {
  forkDir: string
  starting: Promise<Started> | null
  started: Started | null
  observer: Observer | null
  probe: { stop(): void } | null
  /** there once a stop began, where its role has `stop.saved` */
  saving: SavedWatch | null
  /** the events of the fork that wait for a look at its logs are told by then */
  telling: Promise<void>
  /** never ran and never will */
  aborted: boolean
}

/** A stop begins: from now on its word counts that it saved. A second one changes nothing. */
export function watchSaved(host: HostContext, fork: Fork): void {
  const input = savedInput(host, fork)
  if (input !== null) fork.saving ??= beginSaving(input)
}

/** @returns whether it was told to stop, and its role has `stop.saved` */
export function watchSavedAgain(host: HostContext, fork: Fork): SavedWatch | null {
  const input = savedInput(host, fork)
  return (fork.saving = input && resumeSaving(input))
}

function savedInput(host: HostContext, fork: Fork): SavedWatchInput | null {
  const { spoolDir, wall } = host
  const { forkId, stop } = fork.spec
  return stop.saved === undefined
    ? null
    : {
        forkDir: fork.forkDir,
        logDir: logDirOf(spoolDir, forkId),
        pattern: stop.saved.log,
        wall,
        onSaved: (saved) => host.emit({ what: 'saved', forkId, saved }),
      }
}

/** An end is told when all that was printed before it has been looked at. */
function tell(host: HostContext, fork: Fork, event: HostEvent): void {
  const { saving } = fork
  if (saving === null) return host.emit(event)
  fork.telling = fork.telling
    .then(() =>
      event.what === 'exited' || event.what === 'empty' ? saving.settle(event.what === 'empty') : undefined,
    )
    .then(() => host.emit(event))
}

export function endLeases({ leases }: HostContext, fork: Fork): void {
  fork.probe?.stop()
  void leases.release(fork.spec.forkId)
}

/** @param recovering  while it says true nothing is told: `recover` returns what is found */
export function watchFork(
  host: HostContext,
  fork: Fork,
  { recovering, ...own }: Pick<ObserveOptions, 'onLook' | 'ownShim'> & { recovering?: () => boolean },
): Observer {
  const { forkId } = fork.spec
  const exec = readExecFile(fileOf.exec(fork.forkDir))
  // as it was at the start: the spool may be reached by another path now
  const marker = exec?.env[MARKER] ?? fork.forkDir
  const logDir = logDirOf(host.spoolDir, forkId)
  const { cwd = '/', cgroup = null, bootId = host.bootId, oomKills = null } = exec ?? {}
  return observeFork({
    forkId,
    forkDir: fork.forkDir,
    logDir,
    hasRanks: fork.spec.torchrun !== null,
    hasSetUp: fork.spec.setup !== null,
    isService: fork.spec.kind === 'service',
    callerPath: fork.spec.callerEnv?.['PATH'],
    marker: `${MARKER}=${marker}`,
    cgroup,
    oomKills,
    wall: host.wall,
    ...(host.killBudgetMs !== undefined && { killBudgetMs: host.killBudgetMs }),
    restore(record) {
      // without what only the program needed: environments are not kept in memory
      const kept = { cwd, logDir, cgroup, bootId, oomKills, argv: ['true'], env: { [MARKER]: marker } }
      restoreForkFiles(host.spoolDir, fork, record, kept)
    },
    emit(event) {
      if (event.what === 'exited') fork.probe?.stop()
      if (recovering?.() !== true) tell(host, fork, event)
    },
    ...own,
    onEnd: () => endLeases(host, fork),
  })
}

/** Where programs beside the worker run. */
export function workerContextOf(fork: Fork): WorkerContext {
  const { cwd, env } = readExecFile(fileOf.exec(fork.forkDir)) ?? { cwd: '/', env: {} }
  // Node would change such a variable, so these programs go without
  const whole = Object.entries(env).filter(([name, value]) => !isEscaped(name) && !isEscaped(value))
  return { cwd, env: Object.fromEntries(whole) }
}

/** Begin the readiness probe of a fork that runs and has one. */
export function probeFork({ spoolDir, node, emit }: HostContext, fork: Fork, bindings: Bindings): void {
  const { spec, prepared } = fork
  if (spec.ready === null || fork.started?.pid == null || fork.observer?.facts.exit != null) return
  const logDir = logDirOf(spoolDir, spec.forkId)
  fork.probe = startProbe({
    probe: fillCall(spec.ready, { spec, prepared, bindings, node }),
    host: prepared.host,
    ports: prepared.ports,
    run: (argv, timeoutMs) => runHook(workerContextOf(fork), argv, { timeoutMs }),
    logFiles: () => logFilesOf(logDir),
    onChange: (ready, reason) => emit({ what: 'probe', forkId: spec.forkId, ready, reason }),
  })
}

/** @throws {Fault} CANCELLED, WORKER_CREATE, WORKER_CONFIG, SPOOL */
export async function startFork(host: HostContext, fork: Fork, bindings: Bindings): Promise<Started> {
  const { spec, prepared, forkDir } = fork
  const { forkId } = spec
  const { spoolDir, leases } = host
  const plan = await planExec({ ...host, spec, prepared, bindings, forkDir, workersOnNode: leases.size })
  const cgroup = host.cgroups?.make(forkId) ?? null
  writeExecFile(fileOf.exec(forkDir), {
    ...plan,
    logDir: logDirOf(spoolDir, forkId),
    cgroup,
    bootId: host.bootId,
    oomKills: host.oomKills(),
  })
  if (spec.ready !== null || spec.preStop !== null) writeBindings(forkDir, bindings)
  const held = await leases.handOver(forkId)
  if (fork.aborted) throw new Fault('CANCELLED', `${forkId} was cancelled`)
  let start: StartWait | null = null
  const observer = watchFork(host, fork, {
    onLook: (record) => start?.seen(record),
    ownShim: () => start?.shim ?? null,
  })
  fork.observer = observer
  const giveUp = (fault: Fault): never => {
    observer.close()
    fork.observer = null
    if (cgroup !== null) removeCgroup(cgroup)
    throw fault
  }
  start = spawnShim({
    argv: [...host.shim, forkDir],
    env: {
      ...shimEnvironment(host.agentEnv),
      TROUPE_SHELL: shellWords(host.agentEnv, spec.callerShell),
    },
    held,
    look(ended) {
      observer.check(ended)
      return observer.facts.record
    },
    onEnd: () => observer.check(true),
  })
  const record = await start.done.catch((error: Fault) => {
    // its program runs, for nobody else writes over a record: it must not be started again
    if (observer.facts.unreadable) return observer.facts.record
    // a start that only takes too long may still come about, and is then there to be killed
    if (wasStarted(forkDir)) throw error
    return giveUp(error)
  })
  if (record.shim === null)
    return giveUp(
      fork.aborted || isTombstoned(spoolDir, forkId)
        ? new Fault('CANCELLED', `${forkId} was cancelled`)
        : new Fault('WORKER_CREATE', `the shim of ${forkId} ended before it started anything`),
    )
  fork.started = startedOf(record, host.wall(), observer.facts.unreadable)
  probeFork(host, fork, bindings)
  return fork.started
}

/** @returns true when it is certain that nothing of the fork runs or will */
export function abortFork(host: HostContext, fork: Fork): boolean {
  if (fork.aborted) return true
  if (winStarted(fork.forkDir)) {
    fork.aborted = true
    endLeases(host, fork)
    return true
  }
  if (fork.observer !== null) return fork.observer.facts.receipt?.outcome === 'gone'
  if (shimRuns(fork.forkDir)) return false
  fork.aborted = true
  endLeases(host, fork)
  return true
}

/** Whose record cannot be read has its shim's pid: that is known to run, or to have run. */
export function startedOf({ shim, child, exit }: ForkRecord, now: number, unreadable: boolean): Started {
  const ran = unreadable || exit?.kind === 'status'
  return {
    pid: child?.pid ?? (ran && shim !== null ? shim.pid : null),
    startedAt: child?.at ?? exit?.at ?? now,
  }
}

/** What a shim needs to run at all; its program gets its environment from the exec file. */
function shimEnvironment(agentEnv: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    ['PATH', 'LD_LIBRARY_PATH']
      .filter((name) => agentEnv[name] !== undefined)
      .map((name) => [name, agentEnv[name]!]),
  )
}
