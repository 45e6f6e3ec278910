/**
 * Tells a running server of accounts that have changed, over its system account: what was revoked is refused
 * and cut off at once, everybody else stays.
 */
import { Fault } from '../../protocol/faults.ts'
import type { Bus } from '../bus.ts'
import { CLAIMS_UPDATE } from './tenant-accounts.ts'

const ANSWER_MS = 5000

/**
 * @param bus  in the system account
 * @param jwts  of accounts
 * @throws {Fault} FAILED when the server takes one not, with its reason; CONN, TIMEOUT
 */
export async function pushAccounts(bus: Bus, jwts: readonly string[]): Promise<void> {
  for (const jwt of jwts) {
    const answer = await bus.request(CLAIMS_UPDATE, new TextEncoder().encode(jwt), { timeoutMs: ANSWER_MS })
    const { error } = JSON.parse(new TextDecoder().decode(answer.body)) as {
      error?: { description?: string }
    }
    if (error !== undefined)
      throw new Fault('FAILED', `the bus does not take an account: ${error.description ?? 'no reason is said'}`)
  }
}
