/** A node as people and programs are shown it. */
import * as z from 'zod'
import { Millis, Name } from './shapes.ts'

const NodeState = z.enum(['ready', 'suspect', 'draining', 'lost'])

export const NodeInfo = z.object({
  node: Name,
  incarnation: z.string(),
  state: NodeState,
  pid: z.number().int(),
  hostname: z.string(),
  /** for its workers' peers; left out by a coordinator of before */
  address: z.string().optional(),
  cpus: z.number(),
  gpus: z.number(),
  /** nodes of the same machine that give out (some of) the same GPUs: each is leased once */
  gpusSharedWith: z.array(Name).optional(),
  memoryBytes: z.number(),
  workers: z.number().int(),
  lastSeenMs: Millis,
  loopLagMs: Millis,
  /** fork ids on the node that no run of this store knows: alarmed and listed, not reaped. The first 100 */
  unowned: z.array(z.string()),
  unownedCount: z.number().int(),
  reason: z.string().nullable(),
})
export type NodeInfo = z.infer<typeof NodeInfo>
