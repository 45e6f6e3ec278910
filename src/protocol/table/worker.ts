/** Rows of requests about one worker. The agent whose spool holds the fork answers them. */
import * as z from 'zod'
import { Exit, ForkId, Index, Name } from '../shapes.ts'
import { Empty, row, type Row } from './row.ts'

export const WORKER_ROWS = {
  'worker.log': row({
    kind: 'request',
    from: ['client', 'observer'],
    to: ['agent'],
    subject: 'worker.{run}.{role}.{index}.log',
    body: z.object({
      attempt: Index.optional(),
      source: z.string().max(64).optional(),
      offset: z.number().int().min(0).optional(),
      bytesMax: z.number().int().min(0).max(524_288).optional(),
      tailLines: z.number().int().min(0).max(100_000).optional(),
    }),
    reply: z.object({
      node: Name,
      forkId: ForkId,
      attempt: Index,
      sources: z.record(
        z.string(),
        z.object({
          size: z.number().int(),
          floor: z.number().int(),
          generation: z.number().int(),
          shipped: z.number().int().optional(),
          lost: z.array(z.tuple([z.number().int(), z.number().int()])).optional(),
        }),
      ),
      source: z.string().nullable(),
      offset: z.number().int(),
      bytes: z.instanceof(Uint8Array),
      final: z.boolean(),
    }),
    timeoutMs: 1000,
    errors: ['WORKER_NOT_FOUND', 'GONE'],
    doc:
      'Bytes of a log from the spool, at most `bytesMax` (default 256 KiB), from `offset` or so that ' +
      '`tailLines` lines are left. Without `source` the reply has only sizes, and how far each source is ' +
      'surely on the relay (`shipped`, up to a second old). `lost` names ranges of which nobody has the bytes; ' +
      '[n, n] is all from n on, of unknown length: the program removed its file. Without `attempt` each node that holds an ' +
      'attempt answers with its latest, and the first answer counts: ask with the attempt that status ' +
      'names. In JSON `bytes` is base64.',
  }),
  'worker.health': row({
    kind: 'request',
    from: ['client', 'observer'],
    to: ['agent'],
    subject: 'worker.{run}.{role}.{index}.health',
    body: Empty,
    reply: z.object({
      node: Name,
      forkId: ForkId,
      phase: z.string(),
      ready: z.boolean(),
      readyReason: z.string().nullable(),
      pid: z.number().int().nullable(),
      processes: z.number().int(),
      rssBytes: z.number(),
      exit: Exit.nullable(),
    }),
    timeoutMs: 1000,
    errors: ['WORKER_NOT_FOUND'],
    doc: 'The agent’s view of a worker: process state, probe, size of the tree.',
  }),
} as const satisfies Record<string, Row>
