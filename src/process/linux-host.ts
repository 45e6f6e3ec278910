/**
 * The ProcessHost of a Linux node: answers an agent's calls. Each goes to the file of its subject: taking the
 * spool is recover-host.ts, preparing and forgetting prepare-forks.ts, the life of one fork fork-life.ts.
 * Facts about its processes come from observe.ts, names of files from spool.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Fault } from '../protocol/faults.ts'
import type { Prepared, Started } from '../protocol/host.ts'
import type { Bindings } from '../protocol/launch/resolved.ts'
import type { NodeCapacity } from '../protocol/shapes.ts'
import { overwriteFileSync } from '../system/files.ts'
import { residentBytes } from '../system/proc.ts'
import { fillCall } from './exec-plan.ts'
import { readAddresses } from './capacity.ts'
import { claimStop, renewFence } from './fence-file.ts'
import { readBindings } from './fork-files.ts'
import { abortFork, startFork, watchSaved, workerContextOf, type Fork } from './fork-life.ts'
import { callPreStop } from './hooks.ts'
import {
  checkId,
  known,
  linkOf,
  newHostState,
  owned,
  turn,
  type HostState,
  type LinuxHostOptions,
} from './host-state.ts'
import { dropFork, prepareForks, releaseFork } from './prepare-forks.ts'
import type { Observer } from './observer.ts'
import type { ProcessHost } from './process-host.ts'
import { recoverHost } from './recover-host.ts'
import { letGoOn } from './kill.ts'
import { signalProcesses } from './signal-processes.ts'
import { fileOf, isTombstoned, logDirOf, writeTombstone } from './spool.ts'
import { membersOf } from './tree.ts'

export function createLinuxHost(options: LinuxHostOptions): ProcessHost {
  const state = newHostState(options)
  const { spoolDir, node } = options
  const { forks } = state
  let preparing: Promise<Prepared[]> = Promise.resolve([])
  return {
    capacity: () => capacityNow(state),
    recover: () => recoverHost(state),
    prepare: (specs) =>
      (preparing = preparing.then(
        () => prepareForks(state, specs),
        () => prepareForks(state, specs),
      )),
    drop: (forkId) => dropFork(state, forkId),
    start: (forkId, bindings) => startOnce(state, forkId, bindings),
    async cancel(forkId) {
      const host = owned(state)
      checkId(forkId)
      writeTombstone(spoolDir, forkId)
      const fork = forks.get(forkId)
      return fork === undefined || abortFork(host, fork)
    },
    watchSaved(forkId) {
      const fork = forks.get(forkId)
      if (fork !== undefined) watchSaved(owned(state), fork)
    },
    signalRoot: (forkId, signal) =>
      stopSignal(forks.get(forkId), (observer) => {
        signalProcesses(observer, signal, 'root', true)
        if (observer.tree.child !== null) letGoOn([observer.tree.child])
      }),
    signalTree: (forkId, signal) =>
      stopSignal(forks.get(forkId), (observer) => {
        observer.signal(signal)
        letGoOn(membersOf(observer.tree))
      }),
    signalOne: (forkId, signal, to, force) => signalProcesses(forks.get(forkId)?.observer, signal, to, force),
    async killTree(forkId) {
      const fork = forks.get(forkId)
      // A shim that is about to start its program is part of the tree. One that hangs there is killed, too.
      await Promise.race([fork?.starting?.catch(() => {}), sleep(1000)])
      await fork?.observer?.kill()
    },
    async preStop(forkId) {
      const fork = forks.get(forkId)
      if (fork?.spec.preStop == null) return
      const call = fillCall(fork.spec.preStop, { ...fork, bindings: readBindings(fork.forkDir), node })
      await callPreStop(call, workerContextOf(fork), fork.prepared.host, fork.prepared.ports)
    },
    renewFences: (ageMs) => renewFences(state, ageMs),
    async note(forkId, notes) {
      const fork = forks.get(forkId)
      if (fork !== undefined) writeNotes(fork, notes)
    },
    release: (forkId) => releaseFork(state, forkId),
    async measure(forkId) {
      const observer = forks.get(forkId)?.observer
      const members = observer ? membersOf(observer.tree) : []
      return {
        processes: members.length,
        rssBytes: members.reduce((sum, { pid }) => sum + residentBytes(pid), 0),
      }
    },
    logDir: (forkId) => logDirOf(spoolDir, forkId),
    onEvent: (fn) => void (state.listener = fn),
    close: () => closeHost(state),
  }
}

async function capacityNow({ capacity, options }: HostState): Promise<NodeCapacity> {
  return { ...(await capacity).capacity, ...readAddresses(options.agentEnv, linkOf(options)) }
}

async function startOnce(state: HostState, forkId: string, bindings: Bindings): Promise<Started> {
  owned(state)
  const fork = known(state, forkId)
  if (fork.aborted || isTombstoned(state.options.spoolDir, forkId))
    throw new Fault('CANCELLED', `${forkId} was cancelled`)
  if (fork.started !== null) return fork.started
  fork.starting ??= turn(state)
    .then(() => startFork(owned(state), fork, bindings))
    .finally(() => (fork.starting = null))
  return fork.starting
}

/** A signal of a stop; none where the shim stops its tree itself. */
function stopSignal(fork: Fork | undefined, send: (observer: Observer) => void): void {
  if (fork?.observer != null && claimStop(fork.forkDir, fork.spec)) send(fork.observer)
}

function renewFences({ forks, lock }: HostState, ageMs: number): void {
  if (lock?.held() !== true) return
  for (const { spec, forkDir, observer, aborted } of forks.values())
    if (spec.fenceAfterMs !== null && !aborted && observer?.facts.receipt == null)
      renewFence(forkDir, spec, ageMs)
}

function writeNotes(fork: Fork, notes: Record<string, unknown>): void {
  try {
    overwriteFileSync(fileOf.notes(fork.forkDir), JSON.stringify(notes))
  } catch (error) {
    throw new Fault('SPOOL', `the spool cannot be written: ${(error as Error).message}`, { cause: error })
  }
}

async function closeHost(state: HostState): Promise<void> {
  state.closed = true
  for (const timer of state.timers) clearInterval(timer)
  for (const fork of state.forks.values()) {
    fork.probe?.stop()
    fork.saving?.stop()
    fork.observer?.close()
  }
  await state.context?.leases.close()
  if (state.lock?.held() === true) state.lock.release()
}
