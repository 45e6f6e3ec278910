/** Rows of the coordinator's memory: its state log, and the archive of ended runs. */
import { RunStatus } from '../shapes.ts'
import { row, type Row } from './row.ts'

export const STATE_ROWS = {
  state: row({
    kind: 'state',
    from: ['coordinator'],
    to: ['coordinator'],
    subject: 'state',
    body: null,
    reply: null,
    timeoutMs: 2000,
    errors: [],
    doc: 'STATE: entries of records.ts. The leader alone writes them, one append at a time.',
  }),
  archive: row({
    kind: 'archive',
    from: ['coordinator'],
    to: ['coordinator'],
    subject: 'archive.{run}',
    body: RunStatus,
    reply: null,
    timeoutMs: 2000,
    errors: [],
    doc: 'The last status of an ended run.',
  }),
} as const satisfies Record<string, Row>
