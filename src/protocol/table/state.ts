/** Rows of the coordinator's memory: its state log, and the archive of ended runs. */
import * as z from 'zod'
import { Index, RunStatus } from '../shapes.ts'
import { row, type Row } from './row.ts'

const ArchivePart = RunStatus.extend({
  part: Index,
  /** in part 0: the first worker of part 1, 2, … */
  starts: z.array(z.string()),
})

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
    subject: 'archive.{run}.{part}',
    body: ArchivePart,
    reply: null,
    timeoutMs: 2000,
    errors: [],
    doc:
      'The last status of an ended run in parts, each with some of its workers. Part 0 is written last: a run ' +
      'without it is not in the archive.',
  }),
} as const satisfies Record<string, Row>
