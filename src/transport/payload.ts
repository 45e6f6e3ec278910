/**
 * The refusal of a message that is larger than the server takes, headers included. It is known before
 * anything is sent, so nothing of it has run.
 */
import { Fault, isFault } from '../protocol/faults.ts'

export function tooLarge(subject: string, bytes: number, bytesMax: number): Fault {
  return new Fault(
    'REQUEST_INVALID',
    `${bytes} bytes for '${subject}'; the server takes at most ${bytesMax}`,
    {
      data: { reason: 'too-large', bytes, bytesMax },
    },
  )
}

export function isTooLarge(error: unknown): error is Fault {
  return isFault(error, 'REQUEST_INVALID') && error.data['reason'] === 'too-large'
}
