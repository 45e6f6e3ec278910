/**
 * A Linux host takes its spool: the lock, the leases, the forks that are there, and from then on
 * regular looks at facts that no event tells.
 */
import type { Recovered } from '../protocol/host.ts'
import { isOutOfDescriptors } from '../system/descriptors.ts'
import { readBootId, readOomKills } from '../system/proc.ts'
import { ownersBy } from './claim-owner.ts'
import { readBindings } from './fork-files.ts'
import { endLeases, probeFork, type HostContext } from './fork-life.ts'
import { createGpuClaims } from './gpu-claims.ts'
import { emit, hold, type HostState } from './host-state.ts'
import { createLeases } from './leases.ts'
import { createPortLeaser } from './ports.ts'
import { recoverFork } from './recover-fork.ts'
import { createResourceLeases } from './resource-leases.ts'
import { takeSpoolLock } from './spool-lock.ts'
import { listForks, lockDir, makeSpool, sweepTombstones } from './spool.ts'
import { membersOf } from './tree.ts'

const POLL_MS = 1000
const SWEEP_MS = 10 * 60 * 1000

export async function recoverHost(state: HostState): Promise<Recovered[]> {
  const { spoolDir } = state.options
  // A host whose capacity cannot be read takes no spool.
  const capacity = await state.capacity
  makeSpool(spoolDir)
  state.lock = await takeSpoolLock(lockDir(spoolDir))
  const context = contextOf(state, capacity)
  state.context = context
  const found: Recovered[] = []
  for (const forkId of listForks(spoolDir)) {
    const recovered = await recoverFork(context, forkId, (fork) => hold(state, fork))
    if (recovered !== null) found.push(recovered)
  }
  for (const fork of state.forks.values()) probeFork(context, fork, readBindings(fork.forkDir))
  sweep(state)
  every(state, POLL_MS, poll)
  every(state, SWEEP_MS, sweep)
  return found
}

function contextOf(state: HostState, { capacity, cores }: Awaited<HostState['capacity']>): HostContext {
  const { spoolDir, node, agentEnv, shim, cacheDir, killBudgetMs, portRange } = state.options
  const { gpus, memoryBytes } = capacity
  const ownerOf = ownersBy(shim)
  return {
    spoolDir,
    node,
    agentEnv,
    shim,
    cacheDir,
    nodeCores: cores.length,
    bootId: readBootId(),
    cgroups: state.cgroups,
    leases: createLeases(
      createResourceLeases({ gpus, cpus: cores, memoryBytes }),
      createPortLeaser({ ownerOf, ...(portRange && { from: portRange[0], to: portRange[1] }) }),
      createGpuClaims(gpus, { ownerOf, ignored: ignoredUsers(agentEnv) }),
    ),
    killBudgetMs,
    wall: state.wall,
    oomKills: () => state.oomKills,
    emit: (event) => emit(state, event),
  }
}

/** TROUPE_GPU_IGNORE_USERS=alice,bob: the owner of the fleet says that their claims do not count. */
function ignoredUsers(agentEnv: Record<string, string>): ReadonlySet<string> {
  return new Set((agentEnv['TROUPE_GPU_IGNORE_USERS'] ?? '').split(',').map((name) => name.trim()))
}

function poll(state: HostState): void {
  const { forks, lingering, context } = state
  state.oomKills = readOomKills()
  for (const fork of forks.values()) fork.observer?.check(true)
  context?.leases.tend()
  for (const fork of lingering)
    if (membersOf(fork.observer!.tree).length === 0 && lingering.delete(fork)) endLeases(context!, fork)
}

function sweep({ forks, logs, cgroups, options, wall }: HostState): void {
  const isLive = (forkId: string): boolean => forks.has(forkId)
  logs.sweep(isLive)
  sweepTombstones(options.spoolDir, wall())
  cgroups?.sweep(isLive)
}

function every(state: HostState, ms: number, run: (state: HostState) => void): void {
  const once = (): void => {
    try {
      if (state.lock?.held() === true) run(state)
    } catch (error) {
      // nothing can be looked at now: the next time it can
      if (!isOutOfDescriptors(error)) throw error
    }
  }
  state.timers.push(setInterval(once, ms).unref())
}
