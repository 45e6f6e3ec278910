/** The row of a durable launch. actors/coordinator serves it from the LAUNCH stream. */
import { AnyDocument, row, type Row } from './row.ts'

export const LAUNCH_ROWS = {
  launch: row({
    kind: 'durable',
    from: ['client'],
    to: ['coordinator'],
    subject: 'launch.{user}',
    body: AnyDocument,
    reply: null,
    timeoutMs: 2000,
    errors: [],
    doc:
      'Launch durably: the message is kept until a coordinator comes. The outcome is an event, the reply ' +
      'of `coordinator.answer`, and a message to `Troupe-Reply-To`.',
  }),
} as const satisfies Record<string, Row>
