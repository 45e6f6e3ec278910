/** The memory bus as the contract suites want a fleet: on the real clock, without faults but for the link. */
import type { MemoryFaults } from './memory-bus/faults.ts'
import { memoryServer } from './memory-bus/memory-bus.ts'
import type { MemoryConnection } from './memory-bus/connection.ts'
import { systemClock } from '../../src/system/clock.ts'
import type { BusFleet } from '../contracts/bus.contract.ts'

export async function memoryFleet(faults: Partial<MemoryFaults> = {}): Promise<BusFleet> {
  const server = memoryServer(systemClock, faults)
  const connections: MemoryConnection[] = []
  const setLinks = async (up: boolean): Promise<void> =>
    connections.forEach((connection) => connection.setLink(up))
  return {
    async connect(name) {
      const connection = server.connect({ name })
      connections.push(connection)
      return connection
    },
    cut: () => setLinks(false),
    restore: () => setLinks(true),
    async close() {
      await Promise.all(connections.map((connection) => connection.close()))
    },
  }
}
