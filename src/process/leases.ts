/**
 * Everything that a fork holds of its node: ports, GPUs, cores and memory. A fork gets all of it or nothing.
 * The leases of a fork end together, when its process tree is gone. Ports are ports.ts; GPUs, cores and
 * memory are device-leases.ts.
 */
import type { ForkSpec } from '../protocol/launch/resolved.ts'
import { createDeviceLeases } from './device-leases.ts'
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
  const none: PortLease = { ports: [], handOver: async () => {}, release: async () => {} }
  const devices = createDeviceLeases(resourceLeases, claims)
  return {
    async take(spec) {
      const count = spec.resources.ports + (spec.torchrun?.hostsRendezvous === true ? 1 : 0)
      try {
        const { gpus, cores } = await devices.take(spec)
        held.set(spec.forkId, count === 0 ? none : await leaser.lease(count))
        const { ports } = held.get(spec.forkId)!
        return {
          ports: ports.slice(0, spec.resources.ports),
          rendezvousPort: ports[spec.resources.ports] ?? null,
          gpus,
          cores,
        }
      } catch (error) {
        devices.release(spec.forkId)
        throw error
      }
    },
    async adopt(spec, own) {
      await devices.adopt(spec, own)
      const { ports, rendezvousPort } = own
      held.set(spec.forkId, await leaser.adopt(rendezvousPort === null ? ports : [...ports, rendezvousPort]))
    },
    async handOver(forkId) {
      await devices.reclaim(forkId)
      await held.get(forkId)?.handOver()
      return claims.descriptorsOf(forkId)
    },
    tend: claims.tend,
    async release(forkId) {
      devices.release(forkId)
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
