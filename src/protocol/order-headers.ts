/**
 * Headers of an order to an agent: the epoch of the coordinator that gives it, and the tick of the agent's
 * clock after which it must not run. Both ends build and read them here.
 */
import { HEADERS } from './table.ts'
import type { Epoch } from './shapes.ts'

/** `STOREID/N` */
function formatEpoch(epoch: Epoch): string {
  return `${epoch.storeId}/${epoch.n}`
}

/** @returns null when the text is no epoch */
export function parseEpoch(text: string | undefined): Epoch | null {
  const match = /^([^/\s]{1,64})\/(\d{1,15})$/.exec(text ?? '')
  return match ? { storeId: match[1]!, n: Number(match[2]) } : null
}

/** @param notAfter  a tick of the agent's monotonic clock, ms; see DESIGN "Time" */
export function orderHeaders(order: { epoch: Epoch; notAfter: number }): Record<string, string> {
  return {
    [HEADERS.epoch]: formatEpoch(order.epoch),
    [HEADERS.notAfter]: order.notAfter.toFixed(3),
  }
}

/** @returns null for what is missing or no number: the agent then refuses the order */
export function readOrderHeaders(headers: Readonly<Record<string, string>>): {
  epoch: Epoch | null
  notAfter: number | null
} {
  const tick = Number.parseFloat(headers[HEADERS.notAfter] ?? '')
  return { epoch: parseEpoch(headers[HEADERS.epoch]), notAfter: Number.isFinite(tick) ? tick : null }
}
