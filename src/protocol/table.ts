/**
 * THE TABLE: one row for each message that crosses the bus. From it come the TypeScript types, validation at
 * both ends, subjects (subjects.ts), the NATS permissions of every role (permissions.ts), the lists of verbs
 * that coordinator and agents serve, docs/reference/protocol.md, the JSON Schemas and the golden bytes. There
 * is no second list: to add a message, add a row to a file of table/ (docs/howto/add-a-message.md).
 *
 * Subjects are written below `troupe.v1.<fleet>.`; `{x}` is one token. A `{node}` in what an agent publishes,
 * a `{user}` in what a client publishes, and run, role and index in what a worker publishes, are the server's
 * word: the credential allows no other.
 */
import type * as z from 'zod'
import { BEAT_ROWS } from './table/beat.ts'
import { COORDINATOR_ROWS } from './table/coordinator.ts'
import { EVENT_ROWS } from './table/event.ts'
import { LAUNCH_ROWS } from './table/launch.ts'
import { LOG_ROWS } from './table/log.ts'
import { NODE_ROWS } from './table/node.ts'
import { RENEW_ROWS } from './table/renew.ts'
import type { Kind, Row } from './table/row.ts'
import { OWN_ROWS } from './table/own.ts'
import { STATE_ROWS } from './table/state.ts'
import { WORKER_ROWS } from './table/worker.ts'

export { ROLES, type BusRole, type Kind, type Row } from './table/row.ts'
export {
  NODE_WHATS,
  RUN_WHATS,
  WORKER_WHATS,
  type NodeWhat,
  type RunWhat,
  type WorkerWhat,
} from './table/event.ts'
export { LogSource } from './table/log.ts'

export const TABLE = {
  ...COORDINATOR_ROWS,
  ...OWN_ROWS,
  ...LAUNCH_ROWS,
  ...NODE_ROWS,
  ...WORKER_ROWS,
  ...BEAT_ROWS,
  ...RENEW_ROWS,
  ...EVENT_ROWS,
  ...LOG_ROWS,
  ...STATE_ROWS,
} as const satisfies Record<string, Row>

export type RowName = keyof typeof TABLE
export type RowsOf<K extends Kind> = {
  [N in RowName]: (typeof TABLE)[N]['kind'] extends K ? N : never
}[RowName]
export type BodyOf<N extends RowName> = (typeof TABLE)[N]['body'] extends z.ZodType
  ? z.output<(typeof TABLE)[N]['body'] & z.ZodType>
  : Uint8Array
export type ReplyOf<N extends RowName> = (typeof TABLE)[N]['reply'] extends z.ZodType
  ? z.output<(typeof TABLE)[N]['reply'] & z.ZodType>
  : never

type ParamNames<S extends string> = S extends `${string}{${infer P}}${infer Rest}`
  ? P | ParamNames<Rest>
  : never
/** The subject parameters of a row, by name. */
export type ParamsOf<N extends RowName> = { [P in ParamNames<(typeof TABLE)[N]['subject']>]: string | number }

type VerbsOf<F extends 'coordinator' | 'node'> = RowName extends infer N
  ? N extends `${F}.${infer V}`
    ? V
    : never
  : never
function verbsOf<F extends 'coordinator' | 'node'>(family: F): readonly VerbsOf<F>[] {
  const prefix = `${family}.`
  return Object.keys(TABLE).flatMap((name) =>
    name.startsWith(prefix) ? [name.slice(prefix.length) as VerbsOf<F>] : [],
  )
}

/** What can be asked of the coordinator: `coordinator.VERB`. */
export type RequestVerb = VerbsOf<'coordinator'>
export const REQUEST_VERBS: readonly RequestVerb[] = verbsOf('coordinator')
/** What an agent can be ordered to do: `node.VERB`. */
export type OrderVerb = VerbsOf<'node'>
export const ORDER_VERBS: readonly OrderVerb[] = verbsOf('node')

/** Events that a role publishes. */
export type EventsFrom<R extends 'coordinator' | 'agent'> = {
  [N in RowsOf<'event'>]: R extends (typeof TABLE)[N]['from'][number] ? N : never
}[RowsOf<'event'>]

/** Headers: routing and policy; the body is payload alone. */
export const HEADERS = {
  contentType: 'Content-Type',
  /** with tracing: every sender gives its message an id. Nobody sends it yet. */
  id: 'Troupe-Id',
  key: 'Troupe-Key',
  epoch: 'Troupe-Epoch',
  /** with tracing: the coordinator names the message that an order follows from. Nobody sends it yet. */
  cause: 'Troupe-Cause',
  notAfter: 'Troupe-Not-After',
  replyTo: 'Troupe-Reply-To',
  /** with tracing: the W3C trace context of a client. Nobody sends it yet. */
  traceparent: 'traceparent',
  fork: 'Troupe-Fork',
  offset: 'Troupe-Offset',
  record: 'Troupe-Record',
  generation: 'Troupe-Generation',
  error: 'Nats-Service-Error',
  errorCode: 'Nats-Service-Error-Code',
} as const
export const MSGPACK = 'application/msgpack'

/**
 * The streams of a fleet. Each takes all rows of one kind, below the subject token `token`. Names are
 * `troupe_<fleet>_<NAME>`.
 */
export const STREAMS = {
  STATE: { kind: 'state', token: 'state', doc: 'the coordinator’s memory' },
  ARCHIVE: { kind: 'archive', token: 'archive', doc: 'ended runs' },
  EVENT: { kind: 'event', token: 'event', doc: 'events, a report' },
  LOG: { kind: 'log', token: 'log', doc: 'a relay of log bytes' },
  LAUNCH: { kind: 'durable', token: 'launch', doc: 'durable launches, a work queue' },
} as const satisfies Record<string, { kind: Kind; token: string; doc: string }>
export type StreamName = keyof typeof STREAMS
export function streamOf(fleet: string, name: StreamName): string {
  return `troupe_${fleet}_${name}`
}
/** The stream that takes the rows of a kind. */
export function streamTaking(kind: (typeof STREAMS)[StreamName]['kind']): StreamName {
  return (Object.keys(STREAMS) as StreamName[]).find((name) => STREAMS[name].kind === kind)!
}
