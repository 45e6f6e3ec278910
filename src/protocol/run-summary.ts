/** A run as a list tells it: one line of `ps`. */
import * as z from 'zod'
import { Name, RunState, Wall } from './shapes.ts'

export const RunSummary = z.object({
  run: Name,
  name: z.string(),
  user: z.string(),
  state: RunState,
  reason: z.string().nullable(),
  code: z.number().int().nullable(),
  workers: z.number().int(),
  ready: z.number().int(),
  acceptedAt: Wall,
  endedAt: Wall.nullable(),
})
export type RunSummary = z.infer<typeof RunSummary>
