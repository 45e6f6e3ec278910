/**
 * A coordinator that cannot lead because its state log takes no entry: it says so to its askers, instead
 * of not being there. Serves nothing else.
 */
import { Fault } from '../../protocol/faults.ts'
import { REQUEST_VERBS } from '../../protocol/table.ts'
import type { Messenger } from '../../transport/messenger.ts'

/** `data.reason` of its faults. */
export const NO_APPEND = 'no-append'

/**
 * @param trouble  what is wrong, and what comes next
 * @returns ends it
 */
export function answerMute(messenger: Messenger, trouble: () => string): () => void {
  const fault = (): Fault =>
    new Fault('CONN', `the bus takes no append: ${trouble()}`, { data: { reason: NO_APPEND } })
  const subscriptions = REQUEST_VERBS.map((verb) =>
    messenger.serve(`coordinator.${verb}`, {}, (_request, responder) => responder.fault(fault())),
  )
  return () => {
    for (const subscription of subscriptions) subscription.unsubscribe()
  }
}
