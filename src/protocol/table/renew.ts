/** A new credential for an agent whose old one ends or has ended. */
import * as z from 'zod'
import { row, type Row } from './row.ts'

/** A credential of a node: two JWTs of one key. */
const Renewed = z.object({
  jwt: z.string().max(8192),
  /** may ask for the next one, and nothing else */
  renewal: z.string().max(8192),
})

export const RENEW_ROWS = {
  renew: row({
    kind: 'request',
    from: ['renewal'],
    to: ['coordinator'],
    subject: 'renew.{node}.{key}',
    body: z.object({}),
    reply: Renewed,
    timeoutMs: 5000,
    errors: ['FAILED'],
    doc:
      'A new credential for the same node and the same key (`U…`); the server vouches for both. The asker’s ' +
      'own credential may do nothing else, and lives longer than the agent’s: an agent that was cut off while ' +
      'no coordinator was there comes back by it.',
  }),
} as const satisfies Record<string, Row>
