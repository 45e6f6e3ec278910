/** The heartbeat of an agent. */
import * as z from 'zod'
import { Epoch, Incarnation, Millis } from '../shapes.ts'
import { row, type Row } from './row.ts'

export const BEAT_ROWS = {
  beat: row({
    kind: 'beat',
    from: ['agent'],
    to: ['coordinator'],
    subject: 'beat.{node}',
    body: z.object({
      incarnation: Incarnation,
      tick: z.number(),
      rev: z.number().int(),
      loopLagMs: Millis,
      epoch: Epoch.nullable(),
      storeRefused: z.boolean(),
      leaving: z.boolean(),
      draining: z.boolean(),
      link: z.number().int().optional(),
    }),
    reply: null,
    timeoutMs: 0,
    errors: [],
    doc:
      'Each 500 ms. `tick` is the agent’s monotonic clock. `rev` counts the facts that the agent has ' +
      'published: a coordinator that has received fewer asks for the inventory. `link` counts the ' +
      'connections of this incarnation: the end of an earlier one says nothing.',
  }),
} as const satisfies Record<string, Row>
