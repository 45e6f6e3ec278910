/**
 * The order `prepare` on a Linux host, and its two ways back: `drop` before a start, `release` after the end.
 */
import { interfaceOf } from '../protocol/addresses.ts'
import { Fault } from '../protocol/faults.ts'
import type { Prepared } from '../protocol/host.ts'
import type { ForkSpec } from '../protocol/launch/resolved.ts'
import { makeForkFiles, removeForkFiles } from './fork-files.ts'
import { endLeases } from './fork-life.ts'
import { chooseHost } from './host-choice.ts'
import { checkId, hold, linkOf, owned, turn, type HostState } from './host-state.ts'
import { descriptorLimit, freeDescriptors } from '../system/descriptors.ts'
import { defaultInterface, listInterfaces } from '../system/interfaces.ts'
import { isTombstoned, winStarted, writeTombstone } from './spool.ts'
import { membersOf } from './tree.ts'

/** All or nothing. Only one may run at a time, so that a repeated order finds the forks of the first. */
export async function prepareForks(state: HostState, specs: readonly ForkSpec[]): Promise<Prepared[]> {
  const { forks, options } = state
  const made: ForkSpec[] = []
  try {
    const prepared: Prepared[] = []
    for (const spec of specs) {
      checkId(spec.forkId)
      await turn(state)
      const before = forks.get(spec.forkId)
      if (before?.aborted === true || isTombstoned(options.spoolDir, spec.forkId))
        throw new Fault('CANCELLED', `${spec.forkId} was cancelled`)
      if (before === undefined) {
        made.push(spec)
        await prepareFork(state, spec)
      }
      prepared.push(forks.get(spec.forkId)!.prepared)
    }
    return prepared
  } catch (error) {
    for (const { forkId } of made) {
      await state.context?.leases.release(forkId)
      if (forks.delete(forkId)) removeForkFiles(options.spoolDir, forkId, { logs: true })
    }
    throw error
  }
}

async function prepareFork(state: HostState, spec: ForkSpec): Promise<void> {
  const { spoolDir } = state.options
  checkDescriptors(spec)
  const fork = {
    spec,
    prepared: {
      ...(await owned(state).leases.take(spec)),
      ...addressOf(state, spec),
      preparedAt: state.wall(),
    },
  }
  if (isTombstoned(spoolDir, spec.forkId)) throw new Fault('CANCELLED', `${spec.forkId} was cancelled`)
  makeForkFiles(spoolDir, fork)
  hold(state, fork)
}

/** As the addresses are now: links to the bus and interfaces come and go. */
function addressOf({ options }: HostState, { network }: ForkSpec): Pick<Prepared, 'host' | 'interface'> {
  const interfaces = listInterfaces()
  const defaults = { env: options.agentEnv, link: linkOf(options), defaultInterface }
  const host = chooseHost(network, interfaces, defaults)
  const name = interfaceOf(host, interfaces)
  return { host, ...(name !== undefined && { interface: name }) }
}

/** Of a port there are its sockets and its claims; a start needs a few for itself. */
const PER_PORT = 6
const PER_START = 6

/** Refused before anything is half done: what runs needs descriptors too, to be seen and to be ended. */
function checkDescriptors({ forkId, resources, torchrun }: ForkSpec): void {
  const ports = resources.ports + (torchrun?.hostsRendezvous === true ? 1 : 0)
  const needed = PER_START + ports * PER_PORT + resources.gpus
  const free = freeDescriptors()
  if (free >= needed) return
  throw new Fault(
    'WORKER_CREATE',
    `${forkId} needs ${needed} descriptors of its agent, and ${Math.max(0, free)} of ${descriptorLimit()} are free`,
    { hint: 'raise the limit of open files (ulimit -n) where the agent is started' },
  )
}

export async function dropFork(state: HostState, forkId: string): Promise<void> {
  owned(state)
  const fork = state.forks.get(forkId)
  if (fork === undefined || fork.aborted || !winStarted(fork.forkDir)) return
  fork.aborted = true
  state.forks.delete(forkId)
  removeForkFiles(state.options.spoolDir, forkId, { logs: true })
  await state.context?.leases.release(forkId)
}

export async function releaseFork(state: HostState, forkId: string): Promise<void> {
  const { forks, lingering, logs, options } = state
  checkId(forkId)
  await turn(state)
  owned(state)
  const fork = forks.get(forkId)
  if (fork === undefined) return
  if (!fork.aborted && fork.observer !== null && fork.observer.facts.receipt === null)
    throw new Fault('FAILED', `${forkId} has not ended`)
  writeTombstone(options.spoolDir, forkId)
  fork.saving?.stop()
  fork.observer?.close()
  forks.delete(forkId)
  removeForkFiles(options.spoolDir, forkId, { logs: false })
  logs.keep(forkId)
  // Of every other end the receipt is the proof. A look at all processes for each fork would be dear.
  if (fork.observer?.facts.receipt?.outcome === 'survivors' && membersOf(fork.observer.tree).length > 0)
    lingering.add(fork)
  else endLeases(owned(state), fork)
}
