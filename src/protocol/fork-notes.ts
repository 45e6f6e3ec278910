/**
 * What an agent writes beside a fork in its spool, for the agent after it: what the spool's own records do
 * not say. A field that cannot be read counts as missing: old notes must not keep a new agent from starting.
 */
import * as z from 'zod'
import { Cause } from './causes.ts'
import { Exit, LogOffsets, Receipt, SENT_SIGNALS_MAX, SentSignal, Wall } from './shapes.ts'
import { WORKER_WHATS } from './table.ts'

export const ForkNotes = z.object({
  /** who ordered its end, and how; written before the first signal. `sent`: how many signals have left */
  stop: z
    .object({
      killedBy: Cause,
      signal: z.string().nullable(),
      graceMs: z.number(),
      sent: z.number().int().min(0).catch(0),
      /** the root had ended by itself */
      afterExit: z.boolean().catch(false),
    })
    .optional()
    .catch(undefined),
  receipt: Receipt.optional().catch(undefined),
  /** its start failed: nothing of it ever ran */
  failed: z
    .object({
      startFault: z.string(),
      exit: Exit,
      exitedAt: Wall.nullable(),
      final: z.boolean().default(false),
    })
    .optional()
    .catch(undefined),
  logsFinal: LogOffsets.optional().catch(undefined),
  /** its probe has said yes once */
  everReady: z.boolean().catch(false),
  /** signals of persons, the latest last */
  signals: z
    .array(SentSignal)
    .max(SENT_SIGNALS_MAX)
    .catch(() => []),
  /** facts that the event stream has acknowledged */
  acked: z.array(z.enum(WORKER_WHATS)).catch(() => []),
})
export type ForkNotes = z.infer<typeof ForkNotes>
