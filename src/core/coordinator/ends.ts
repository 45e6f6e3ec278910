/** Ends that no agent told: the receipt of nothing that is left, and the exit that nobody saw. */
import type { Exit, Receipt } from '../../protocol/shapes.ts'

export const GONE: Receipt = { outcome: 'gone', survivors: [], reason: null, ms: 0 }

export function lostExit(text: string): Exit {
  return { code: null, signal: null, oom: null, unknown: text, killedBy: null }
}
