/**
 * The devices of a node that a fork holds: GPUs, cores and memory. The arithmetic of this agent is
 * resource-leases.ts; gpu-claims.ts holds GPUs against the other agents of the machine.
 */
import { Fault } from '../protocol/faults.ts'
import type { ForkSpec } from '../protocol/launch/resolved.ts'
import type { GpuClaims } from './gpu-claims.ts'
import type { ResourceLeases } from './resource-leases.ts'

export interface Devices {
  gpus: string[]
  cores: number[]
}

export interface DeviceLeases {
  /** @throws {Fault} GPU_ALLOC; `release` then gives up the part that was taken */
  take(spec: ForkSpec): Promise<Devices>
  /** Devices that a fork of an earlier agent holds. */
  adopt(spec: ForkSpec, held: Devices): Promise<void>
  /** Before a start. @throws {Fault} GPU_ALLOC when another agent has got a GPU of the fork meanwhile */
  reclaim(forkId: string): Promise<void>
  /** Idempotent. */
  release(forkId: string): void
}

export function createDeviceLeases(resourceLeases: ResourceLeases, claims: GpuClaims): DeviceLeases {
  /** forks that may not be started when another has one of their GPUs */
  const exclusive = new Map<string, string[]>()
  return {
    /** Another agent's GPUs are known only by claiming them: those are left out, and others are claimed. */
    async take({ forkId, resources }) {
      const elsewhere = new Map<string, string | null>()
      for (;;) {
        const taken = resourceLeases.lease(forkId, resources, elsewhere)
        const lost = await claims.take(forkId, taken.gpus)
        if (!resources.share && taken.gpus.length > 0) exclusive.set(forkId, taken.gpus)
        if (lost.size === 0 || resources.share) return taken
        for (const [id, user] of lost) elsewhere.set(id, user)
        resourceLeases.release(forkId)
      }
    },
    async adopt({ forkId, resources }, { gpus, cores }) {
      // The shim of a running fork holds its GPUs. Those of a prepared one are claimed again at its start.
      await claims.take(forkId, gpus)
      if (!resources.share && gpus.length > 0) exclusive.set(forkId, gpus)
      resourceLeases.adopt(forkId, { gpus, cores, memoryBytes: resources.memoryBytes })
    },
    async reclaim(forkId) {
      const own = exclusive.get(forkId)
      const [lost] = own === undefined ? [] : await claims.take(forkId, own)
      if (lost === undefined) return
      const [id, user] = lost
      throw new Fault(
        'GPU_ALLOC',
        `GPU ${id} was leased by ${user ?? 'another agent of this machine'} meanwhile`,
      )
    },
    release(forkId) {
      claims.release(forkId)
      exclusive.delete(forkId)
      resourceLeases.release(forkId)
    },
  }
}
