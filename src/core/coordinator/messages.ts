/**
 * What the coordinator hears and what it orders: events are past facts, commands are orders to its performer.
 * Every event carries the two times; nothing in core asks a clock.
 */
import type { FaultBody } from '../../protocol/faults.ts'
import type { StateOp } from '../../protocol/records.ts'
import type { ForkReport, RunStatus } from '../../protocol/shapes.ts'
import type { RunSummary } from '../../protocol/run-summary.ts'
import type { BodyOf, EventsFrom, OrderVerb, ParamsOf, ReplyOf, RequestVerb } from '../../protocol/table.ts'

export interface Times {
  /** monotonic, ms: what durations and deadlines are measured with */
  now: number
  /** Unix ms, derived from the same monotonic clock while one leads: for records and people */
  wall: number
}

export type RequestOf<V extends RequestVerb = RequestVerb> = {
  [K in V]: {
    kind: 'request'
    id: number
    verb: K
    /** a worker asks, whose run the body names: of no other is it told */
    own?: true
    user: string
    key: string | null
    body: BodyOf<`coordinator.${K}`>
  }
}[V]

export type OrderOf<V extends OrderVerb = OrderVerb> = {
  [K in V]: {
    id: number
    node: string
    incarnation: string
    verb: K
    body: BodyOf<`node.${K}`>
    /** what it waits for, ms: large gangs take longer */ timeoutMs: number
  }
}[V]
export type OrderReply = { [K in OrderVerb]: ReplyOf<`node.${K}`> }[OrderVerb]

export type Timer =
  | { of: 'run'; run: string }
  | { of: 'lazy' }
  | { of: 'node'; node: string }
  /** what a step left for the next */
  | { of: 'rest' }

export interface QueuedLaunch {
  kind: 'queued-launch'
  /** sequence in the work queue: its key, when it has none */
  seq: number
  user: string
  key: string | null
  storedAt: number
  /** null: it does not fit its row, `fault` says how */
  body: Record<string, unknown> | null
  fault: FaultBody | null
}

export type Fact =
  /** the first event of a leader: its durable state is folded, it hears the bus */
  | { kind: 'led' }
  | RequestOf
  | QueuedLaunch
  | {
      kind: 'beat'
      node: string
      incarnation: string
      tick: number
      rev: number
      loopLagMs: number
      storeRefused: boolean
      leaving: boolean
      draining: boolean
      link?: number | undefined
    }
  /** one fact of an agent; its order replies and inventories say the same in the same shape */
  | { kind: 'report'; node: string; incarnation: string; rev: number; report: ForkReport }
  /** wall times of the coordinator around the exchange bound the node's clock */
  | {
      kind: 'order-result'
      id: number
      sentWall: number
      gotWall: number
      reply: OrderReply | null
      fault: FaultBody | null
    }
  | { kind: 'node-disconnected'; node: string; incarnation: string; link: number }
  | { kind: 'link'; up: boolean }
  | { kind: 'nodes-tick' }
  | { kind: 'archived'; run: string }
  /** the state log will never take what was to be written of this run, which was accepted just now */
  | { kind: 'unwritable'; run: string; fault: FaultBody }
  /** something that others remember is not in the state log */
  | { kind: 'history-lost'; text: string }
  | { kind: 'timer'; timer: Timer }
export type CoordinatorEvent = Fact & Times

type EventRow = EventsFrom<'coordinator'>
export type Publication = {
  [K in EventRow]: { kind: 'publish'; row: K; params: ParamsOf<K>; body: BodyOf<K> }
}[EventRow]

export type ReplyBody = { [K in RequestVerb]: ReplyOf<`coordinator.${K}`> }[RequestVerb]

export type CoordinatorCommand =
  | { kind: 'persist'; ops: StateOp[] }
  | { kind: 'order'; order: OrderOf }
  | { kind: 'reply'; request: number; body: ReplyBody }
  | { kind: 'refuse'; request: number; fault: FaultBody }
  /** not in memory: the performer looks into the archive and answers */
  | {
      kind: 'reply-from-archive'
      verb: 'status'
      request: number
      query: BodyOf<'coordinator.status'>
      /** the answer when it is not there either */
      fault: FaultBody
    }
  /** the page begins with `runs`, and goes on with ended ones: all, or those at or before a message */
  | {
      kind: 'reply-from-archive'
      verb: 'list'
      request: number
      runs: RunSummary[]
      count: number | undefined
      before: number | null
      /** ended runs of the memory, which the archive may hold already */
      inMemory: string[]
    }
  /** the backend's words are the performer's to add */
  | { kind: 'reply-plan'; request: number; body: ReplyOf<'coordinator.plan'> }
  /** @param told  id of the outcome's event: the queue keeps its message until that is acknowledged */
  | { kind: 'answer-queued'; seq: number; run: string | null; fault: FaultBody | null; told: string }
  | Publication
  | { kind: 'archive'; status: RunStatus }
  /** @param at  on the monotonic clock */
  | { kind: 'timer'; at: number; timer: Timer }
  | { kind: 'log'; level: 'info' | 'warn' | 'error'; fields: Record<string, unknown> }
  | { kind: 'end'; why: string }
