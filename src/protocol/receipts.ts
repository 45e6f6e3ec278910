/** What is known of an end: the proof that nothing is left, and whether the worker said that it saved. */
import * as z from 'zod'

const Millis = z.number().min(0)

/** So many of them are told; of more the number. */
export const LEFT_SHOWN_MAX = 5
/**
 * What ran on when the root had ended by itself, and was ended by us. `signal` is the latest that it got;
 * `handled`: it has a handler for that, and ended within a second or two. `command` is one line, of at most
 * 120 characters.
 */
export const Left = z.object({
  processes: z
    .array(
      z.object({
        pid: z.number().int(),
        command: z.string(),
        signal: z.string(),
        handled: z.literal(true).optional(),
      }),
    )
    .max(LEFT_SHOWN_MAX),
  more: z.number().int().min(0),
})
export type Left = z.infer<typeof Left>

/** The proof at the end of a kill. `gone`: the shim (or the cgroup) said that nothing of the tree is left. */
export const Receipt = z.object({
  outcome: z.enum(['gone', 'survivors', 'unverified']),
  survivors: z.array(z.object({ pid: z.number().int(), command: z.string() })),
  /** What could not be read, for `unverified`. */
  reason: z.string().nullable(),
  /** From the first signal (or the root's own exit) to the proof. */
  ms: Millis,
  /** left out where there was nothing, and where its end was ordered */
  left: Left.optional(),
})
export type Receipt = z.infer<typeof Receipt>

/** A worker's word that it saved: when, and how long after its stop was asked for. */
export const Saved = z.object({ at: z.number().int(), ms: Millis })
export type Saved = z.infer<typeof Saved>
/** Of a worker that was told to stop, where its role says by which line it tells that it saved. */
export const SaveState = z.enum(['waiting', 'yes', 'no', 'unknown'])
export type SaveState = z.infer<typeof SaveState>
/** So many characters of a role's `stop.saved.log` are in a status. */
export const SAVED_LOG_SHOWN = 80

/**
 * What can be proved of a worker that was ended: a line of `stop --json`, `kill --json` and of `down --json`.
 * `save` is there where its role has `stop.saved` and it was told to stop; `saved` where its word is known,
 * and null is no.
 */
export type WorkerReceipt = Receipt & {
  worker: string
  forkId: string
  saved?: Saved | null
  save?: SaveState
}
