/**
 * All that a fork holds of its node, as one: ports with GPUs, cores and memory. Owns all-or-nothing over both; the arithmetic is
 * ledger.ts, the sockets are ports.ts. A fork's leases end together, when its tree is gone.
 */
import type { ForkSpec } from '../protocol/resolved.ts'
import type { Ledger } from './ledger.ts'
import type { PortLease, PortLeaser } from './ports.ts'
import type { Prepared } from './process-host.ts'

export type Held = Pick<Prepared, 'ports' | 'rendezvousPort' | 'gpus' | 'cores'>

export interface Leases {
  /** @throws {Fault} PORT_ALLOC, GPU_ALLOC; then nothing is held */
  take(spec: ForkSpec): Promise<Held>
  /** what a fork of an earlier agent holds */
  adopt(spec: ForkSpec, held: Held): Promise<void>
  /** give the ports to the program that is about to start */
  handOver(forkId: string): Promise<void>
  /** idempotent; resolves when the ports can be leased again */
  release(forkId: string): Promise<void>
  /** forks that hold something, whatever it is */
  readonly size: number
  /** sockets of this agent alone: what runs keeps its ports */
  close(): Promise<void>
}

export const createLeases = (ledger: Ledger, leaser: PortLeaser): Leases => {
  const held = new Map<string, PortLease>()
  const none: PortLease = { ports: [], handOver: async () => {}, release: async () => {} }
  return {
    async take(spec) {
      const { gpus, cores } = ledger.lease(spec.forkId, spec.resources)
      const count = spec.resources.ports + (spec.torchrun?.hostsRendezvous === true ? 1 : 0)
      try {
        held.set(spec.forkId, count === 0 ? none : await leaser.lease(count))
      } catch (error) {
        ledger.release(spec.forkId)
        throw error
      }
      const { ports } = held.get(spec.forkId)!
      return { ports: ports.slice(0, spec.resources.ports), rendezvousPort: ports[spec.resources.ports] ?? null, gpus, cores }
    },
    async adopt(spec, { ports, rendezvousPort, gpus, cores }) {
      ledger.adopt(spec.forkId, { gpus, cores, memoryBytes: spec.resources.memoryBytes })
      held.set(spec.forkId, await leaser.adopt(rendezvousPort === null ? ports : [...ports, rendezvousPort]))
    },
    async handOver(forkId) {
      await held.get(forkId)?.handOver()
    },
    async release(forkId) {
      ledger.release(forkId)
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
    },
  }
}
