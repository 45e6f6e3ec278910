/** The row of log bytes, as agents ship them to the relay. log-records.ts reads them. */
import * as z from 'zod'
import { row, type Row } from './row.ts'

/** `stdout`, or a rank's: `r3-stdout`, after torchrun's second restart `r3.2-stdout`. */
export const LogSource = z.string().regex(/^(stdout|stderr|r\d{1,6}(\.\d{1,4})?-(stdout|stderr))$/)

export const LOG_ROWS = {
  log: row({
    kind: 'log',
    from: ['agent'],
    to: ['client', 'observer'],
    subject: 'log.{run}.{role}.{index}.{attempt}.{source}.{node}',
    body: null,
    reply: null,
    timeoutMs: 5000,
    errors: [],
    doc:
      'A range of a log file. `Troupe-Offset` is its byte offset, `Troupe-Fork` the fork id; ' +
      '`Troupe-Record` marks records (truncated, lost, final).',
  }),
} as const satisfies Record<string, Row>
