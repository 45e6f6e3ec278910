/**
 * What a test can do to the bus in memory and see of it: faults of hops, calls and the server's disk, the
 * process that holds a connection, the traffic.
 */
import type { Headers } from '../../../src/transport/bus.ts'

export type CallKind = 'append' | 'ack' | 'read' | 'manage'

export interface MemoryFaults {
  /** time of one hop between a connection and the server, ms */
  hopMs(): number
  /**
   * a core message on its way to one connection: the extra delay of each copy; none is a loss. Extra delays
   * break the order
   */
  copies(hop: { subject: string; from: string; to: string }): readonly number[]
  /** a call that the server answers (append, ack, stream reads): does it arrive, does its answer? */
  call(kind: CallKind, from: string, subject: string): 'done' | 'answer-lost' | 'lost'
  /** the server's disk now: how long an append takes, ms, or `full`: every append is refused */
  disk(): number | 'full'
  /** How many of a stream's newest messages are not in the copy that answers Direct Get. */
  behind(stream: string): number
}

/** Where a connection touches the process that holds it. */
export interface ConnectionHooks {
  /** everything that comes in passes here: run it now, later (frozen), or never (dead) */
  enter(run: () => void): void
  /** asked before everything that goes out; false: the process is dead and nothing leaves */
  leave(what: 'publish' | 'request' | 'respond' | CallKind, subject: string): boolean
}

/**
 * What happened on the bus, for whoever keeps a history. `message`: reached the server; `append`: a stream
 * took it (`seq`) or refused it (null); `arrived`: reached a connection's socket; `delivered`: the process
 * behind it read it. `copy` is 0 for the first, 1 for a duplicate; with a stream it counts how often a work
 * queue gave the message before.
 */
export interface Traffic {
  what: 'message' | 'append' | 'arrived' | 'delivered'
  from: string
  to: string | null
  subject: string
  headers: Headers
  body: Uint8Array
  reply: string | null
  seq: number | null
  stream: string | null
  copy: number
}

export const NO_FAULTS: MemoryFaults = {
  hopMs: () => 0,
  copies: () => [0],
  call: () => 'done',
  disk: () => 0,
  behind: () => 0,
}
export const ALWAYS: ConnectionHooks = { enter: (run) => run(), leave: () => true }
