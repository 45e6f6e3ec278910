/**
 * The backend `join`: nodes that are on the bus already. It brings none, so an allocation is only the leave
 * to use them.
 */
import type { Allocation, AllocationEnd, Backend, Plan } from './backend.ts'
import { resourcesOf, type Launch } from '../protocol/launch/resolved.ts'

/** What a launch asks of the nodes, line by line. */
function askedLines(launch: Launch): string[] {
  return launch.roles.map((role) => {
    const { cpus, gpus, memoryBytes, ports } = resourcesOf(role, 0)
    const parts = [
      gpus > 0 && `${gpus} GPUs`,
      cpus > 0 && `${cpus} cores`,
      memoryBytes > 0 && `${Math.round(memoryBytes / 1024 / 1024)} MiB`,
      ports > 0 && `${ports} ports`,
    ].filter(Boolean)
    const shape =
      role.kind === 'torchrun'
        ? `torchrun on ${role.replicas} nodes with ${role.nproc} processes each`
        : `${role.replicas} ${role.kind}${role.replicas === 1 ? '' : 's'}`
    return `${role.name}: ${shape}${parts.length > 0 ? `, each with ${parts.join(', ')}` : ''}`
  })
}

/** Nodes that the roles cannot share: torchrun's workers stand alone. */
function nodesNeeded(launch: Launch): number {
  return Math.max(1, ...launch.roles.map((role) => (role.kind === 'torchrun' ? role.minReplicas : 1)))
}

/** A backend that brings no nodes: `plan` says who does. */
export function sharedBackend(name: string, whence: string): Backend {
  return {
    name,
    capabilities: { allocates: false, provesGone: false },
    plan: (launch): Plan => ({
      backend: name,
      lines: [whence, ...askedLines(launch)],
      nodes: nodesNeeded(launch),
    }),
    allocate: (_plan, signal) =>
      signal.aborted ? Promise.reject(signal.reason as Error) : Promise.resolve(sharedAllocation(name)),
    recover: () => Promise.resolve(sharedAllocation(name)),
    close: () => Promise.resolve(),
  }
}

function sharedAllocation(backend: string): Allocation {
  let end: (how: AllocationEnd) => void
  let state = 'held'
  const ended = new Promise<AllocationEnd>((resolve) => (end = resolve))
  return {
    handle: { backend },
    nodes: null,
    ended,
    status: () => Promise.resolve({ state, text: state === 'held' ? 'the nodes on the bus' : 'given back' }),
    release() {
      state = 'released'
      end({ why: 'released' })
      return Promise.resolve()
    },
  }
}

export function joinBackend(): Backend {
  return sharedBackend('join', 'uses the nodes that are on the bus; nothing is started')
}
