/** Which writes to a stream are worth another try. */
import { isFault } from '../../protocol/faults.ts'

/**
 * The bus may come back, a permission be given and a full disk be freed. A message that does not fit its row
 * or the server never will.
 */
export function isNeverTaken(error: unknown): boolean {
  return !isFault(error) || error.code === 'REQUEST_INVALID'
}
