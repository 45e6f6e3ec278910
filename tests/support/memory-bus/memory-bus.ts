/**
 * The Bus contract in memory, with the faults of a real one: a server with streams, connections whose links
 * fall, hops that take time, copies that are lost, doubled or late, acks that never come, a disk that is slow
 * or full, messages that are too large. Driven by a Clock; randomness is the caller's (`faults`).
 */
import { PAYLOAD_BYTES_MAX } from '../../../src/protocol/codec.ts'
import type { Clock } from '../../../src/system/clock.ts'
import { Connection, type MemoryConnection } from './connection.ts'
import { ALWAYS, NO_FAULTS, type ConnectionHooks, type MemoryFaults, type Traffic } from './faults.ts'
import { Server } from './server.ts'
import type { MemoryStream } from './stream.ts'

export interface MemoryServer {
  connect(options: { name: string; clock?: Clock; hooks?: ConnectionHooks }): MemoryConnection
  readonly streams: ReadonlyMap<string, MemoryStream>
  /** all streams and consumers are lost */
  resetStore(): void
  observe(listener: (traffic: Traffic) => void): void
  /** questions that are neither answered nor given up */
  waiting(): number
}

/** @param payloadMax  bytes of the largest message that the server takes, headers included */
export function memoryServer(
  clock: Clock,
  faults: Partial<MemoryFaults> = {},
  payloadMax = PAYLOAD_BYTES_MAX,
): MemoryServer {
  const server = new Server(clock, { ...NO_FAULTS, ...faults }, payloadMax)
  let born = 0
  return {
    connect: ({ name, clock: own = clock, hooks = ALWAYS }) =>
      new Connection(server, `${++born}`, name, own, hooks),
    streams: server.streams,
    resetStore: () => server.resetStore(),
    observe: (listener) => void server.listeners.push(listener),
    waiting: () => server.waiting,
  }
}
