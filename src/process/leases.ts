/**
 * Everything that a fork holds of its node: ports, GPUs, cores and memory. A fork gets all of it or nothing.
 * The leases of a fork end together, when its process tree is gone. The arithmetic is resource-leases.ts, the
 * sockets are ports.ts and gpu-claims.ts.
 */
import type { ForkSpec } from '../protocol/launch/resolved.ts'
import { Fault } from '../protocol/faults.ts'
import type { GpuClaims } from './gpu-claims.ts'
import type { ResourceLeases } from './resource-leases.ts'
import type { PortLease, PortLeaser } from './ports.ts'
import type { Prepared } from '../protocol/host.ts'

export type Held = Pick<Prepared, 'ports' | 'rendezvousPort' | 'gpus' | 'cores'>

export interface Leases {
  /** @throws {Fault} PORT_ALLOC, GPU_ALLOC; then nothing is held */
  take(spec: ForkSpec): Promise<Held>
  /** what a fork of an earlier agent holds */
  adopt(spec: ForkSpec, held: Held): Promise<void>
  /**
   * give the ports to the program that is about to start
   * @returns descriptors that its shim is to hold as long as the tree lives
   * @throws {Fault} GPU_ALLOC when another agent has got a GPU of it, while no agent was here
   */
  handOver(forkId: string): Promise<number[]>
  /** now and then: see GpuClaims */
  tend(): void
  /** idempotent; resolves when the ports can be leased again */
  release(forkId: string): Promise<void>
  /** forks that hold something, whatever it is */
  readonly size: number
  /** sockets of this agent alone: what runs keeps its ports */
  close(): Promise<void>
}

export function createLeases(resourceLeases: ResourceLeases, leaser: PortLeaser, claims: GpuClaims): Leases {
  const held = new Map<string, PortLease>()
  /** forks that may not be started when another has one of their GPUs */
  const exclusive = new Map<string, string[]>()
  const none: PortLease = { ports: [], handOver: async () => {}, release: async () => {} }
  const giveUp = (forkId: string): void => {
    claims.release(forkId)
    exclusive.delete(forkId)
    resourceLeases.release(forkId)
  }
  /** What others have is found out by asking for it: those are left out, and the next are asked for. */
  const takeOfNode = async (spec: ForkSpec): Promise<{ gpus: string[]; cores: number[] }> => {
    const elsewhere = new Set<string>()
    for (;;) {
      const taken = resourceLeases.lease(spec.forkId, spec.resources, elsewhere)
      const lost = await claims.take(spec.forkId, taken.gpus)
      if (!spec.resources.share && taken.gpus.length > 0) exclusive.set(spec.forkId, taken.gpus)
      if (lost.length === 0 || spec.resources.share) return taken
      for (const id of lost) elsewhere.add(id)
      resourceLeases.release(spec.forkId)
    }
  }
  return {
    async take(spec) {
      const count = spec.resources.ports + (spec.torchrun?.hostsRendezvous === true ? 1 : 0)
      try {
        const { gpus, cores } = await takeOfNode(spec)
        held.set(spec.forkId, count === 0 ? none : await leaser.lease(count))
        const { ports } = held.get(spec.forkId)!
        return {
          ports: ports.slice(0, spec.resources.ports),
          rendezvousPort: ports[spec.resources.ports] ?? null,
          gpus,
          cores,
        }
      } catch (error) {
        giveUp(spec.forkId)
        throw error
      }
    },
    async adopt(spec, { ports, rendezvousPort, gpus, cores }) {
      // what runs is held by its shim; what was only prepared is looked at again when it is to start
      await claims.take(spec.forkId, gpus)
      if (!spec.resources.share && gpus.length > 0) exclusive.set(spec.forkId, gpus)
      resourceLeases.adopt(spec.forkId, { gpus, cores, memoryBytes: spec.resources.memoryBytes })
      held.set(spec.forkId, await leaser.adopt(rendezvousPort === null ? ports : [...ports, rendezvousPort]))
    },
    async handOver(forkId) {
      const own = exclusive.get(forkId)
      const [lost] = own === undefined ? [] : await claims.take(forkId, own)
      if (lost !== undefined)
        throw new Fault('GPU_ALLOC', `GPU ${lost} was leased by another agent of this machine meanwhile`)
      await held.get(forkId)?.handOver()
      return claims.descriptorsOf(forkId)
    },
    tend() {
      claims.tend()
    },
    async release(forkId) {
      giveUp(forkId)
      const lease = held.get(forkId)
      held.delete(forkId)
      await lease?.release()
    },
    get size() {
      return held.size
    },
    async close() {
      await Promise.all([...held.values()].map((lease) => lease.release()))
      held.clear()
      claims.close()
    },
  }
}
