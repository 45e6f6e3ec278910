/**
 * An order to a node: it counts from the node's last beat how long the order may be obeyed, and brings the
 * outcome back as a fact. Owns no retry: a step decides whether an order is given again.
 */
import type { OrderOf } from '../../core/coordinator/messages.ts'
import { Fault, isFault } from '../../protocol/faults.ts'
import { orderHeaders } from '../../protocol/order-headers.ts'
import { after, post, wallOf, type TermState } from './term-state.ts'

export async function sendOrder(t: TermState, order: OrderOf): Promise<void> {
  const { id, node, incarnation, verb, body, timeoutMs } = order
  const sentWall = wallOf(t)
  const done = (result: { reply?: unknown; fault?: Fault }): void =>
    post(t, {
      kind: 'order-result',
      id,
      sentWall,
      gotWall: wallOf(t),
      reply: (result.reply as never) ?? null,
      fault: result.fault?.toBody() ?? null,
    })
  const notAfter = notAfterOf(t, node, incarnation)
  // the agent's clock is not known yet: it beats within half a second
  if (notAfter === null)
    return after(t, 1, () => done({ fault: new Fault('EXPIRED', `no beat of ${node} to count from`) }))
  try {
    done({
      reply: await t.messenger.ask(`node.${verb}`, { node, incarnation }, body as never, {
        headers: orderHeaders({ epoch: t.term.epoch, notAfter }),
        timeoutMs,
      }),
    })
  } catch (error) {
    done({ fault: isFault(error) ? error : new Fault('FAILED', String(error), { retryable: true }) })
  }
}

/** An agent that reads the order later than this tick of its own clock does nothing. */
function notAfterOf({ clocks, settings }: TermState, node: string, incarnation: string): number | null {
  const tick = clocks.tickOf(node, incarnation)
  return tick === null ? null : tick + settings.orderAllowanceMs
}
