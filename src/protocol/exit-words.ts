/** What an exit alone does not say, in the same words for all readers. */
import type { Exit } from './shapes.ts'

/** A service that went to the background: what it left, and what to do. */
export function leftText({ left, killedBy }: Exit): string | null {
  return left === undefined || killedBy !== null
    ? null
    : `its root ended while ${left} ${left === 1 ? 'process' : 'processes'} of it ran: start it in the foreground`
}
