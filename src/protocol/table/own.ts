/**
 * Rows of what a worker asks of the coordinator: of its own run, and of no other. The server vouches for run,
 * role and index, which stand in the subject.
 */
import * as z from 'zod'
import { NextField, PageFields } from '../pages.ts'
import { Index, Name, RunStatus } from '../shapes.ts'
import { row, type Row } from './row.ts'

export const OWN_ROWS = {
  'own.status': row({
    kind: 'request',
    from: ['worker'],
    to: ['coordinator'],
    subject: 'coordinator.status.{run}.{role}.{index}',
    body: z.object({ role: Name.optional(), index: Index.optional(), ...PageFields }),
    reply: RunStatus.extend(NextField),
    timeoutMs: 1000,
    errors: ['WORKER_NOT_FOUND', 'NOT_LEADER'],
    doc:
      'What `coordinator.status` says, to a worker and of its own run. `help` is left out: it names the runs ' +
      'of others.',
  }),
} as const satisfies Record<string, Row>
