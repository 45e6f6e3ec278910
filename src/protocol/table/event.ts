/** Rows of events, which are a report: nothing is rebuilt from them. Their words (`what`) stand here, too. */
import * as z from 'zod'
import { FirstFailure, ForkId, ForkReport, Incarnation, Index, Name, RunState, Wall } from '../shapes.ts'
import { row, type Row } from './row.ts'

export const RUN_WHATS = [
  'accepted',
  'rejected',
  'pending',
  'starting',
  'running',
  'stopping',
  'restart',
  'ended',
] as const
export type RunWhat = (typeof RUN_WHATS)[number]
export const WORKER_WHATS = [
  'prepared',
  'started',
  'ready',
  'unready',
  'exited',
  'gone',
  'logs-final',
  'ranks',
  'cancelled',
  'signalled',
  'saved',
] as const
export type WorkerWhat = (typeof WORKER_WHATS)[number]
export const NODE_WHATS = ['joined', 'suspect', 'lost', 'draining', 'left'] as const
export type NodeWhat = (typeof NODE_WHATS)[number]

const event = {
  kind: 'event',
  to: ['client', 'observer', 'coordinator'],
  reply: null,
  timeoutMs: 2000,
  errors: [],
} as const

/**
 * Fields that every event has. `id` is unique, and the same when a publish is tried again; `rev` counts an
 * agent's facts (see beat).
 */
const EventBase = z.object({ id: z.string(), at: Wall, what: z.string() })

export const EVENT_ROWS = {
  'event.run': row({
    ...event,
    from: ['coordinator'],
    subject: 'event.{run}._._.{what}._',
    body: EventBase.extend({
      run: Name,
      name: z.string(),
      user: z.string(),
      state: RunState,
      reason: z.string().nullable(),
      attempt: Index,
      code: z.number().int().nullable(),
      firstFailure: FirstFailure.nullable(),
      key: z.string().nullable(),
      fault: z.record(z.string(), z.unknown()).nullable(),
    }),
    doc:
      'A run changed state, or (`restart`) some of it is started again: `reason` says why and when. For ' +
      '`rejected` there is no run: `run` is the launch’s name made into a subject token, and `fault` says why.',
  }),
  'event.worker': row({
    ...event,
    from: ['agent'],
    subject: 'event.{run}.{role}.{index}.{what}.{node}',
    body: EventBase.extend({ node: Name, incarnation: Incarnation, rev: z.number().int() }).extend(
      ForkReport.shape,
    ),
    doc:
      'A fact about a fork, with all that its agent knows of the fork. `saved` is told once of a fork that was ' +
      'told to stop and whose role has `stop.saved`: when it says so, else (`saved` is null: no) before `gone`.',
  }),
  'event.lost': row({
    ...event,
    from: ['coordinator'],
    subject: 'event.{run}.{role}.{index}.lost._',
    body: EventBase.extend({
      run: Name,
      role: Name,
      index: Index,
      attempt: Index,
      node: Name,
      forkId: ForkId,
      reason: z.string(),
    }),
    doc: 'The node of a worker fell silent.',
  }),
  'event.node': row({
    ...event,
    from: ['coordinator'],
    subject: 'event._._._.{what}.{node}',
    body: EventBase.extend({ node: Name, incarnation: z.string(), reason: z.string().nullable() }),
    doc: 'A node joined, is suspect, is lost, is draining, or left.',
  }),
} as const satisfies Record<string, Row>
