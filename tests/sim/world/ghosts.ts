/**
 * A coordinator that stopped between its check and its send, and does not know that it was deposed: it sends
 * an old order again, with a time that is good.
 */
import { readOrderHeaders } from '../../../src/protocol/order-headers.ts'
import { subjectOf } from '../../../src/protocol/subjects.ts'
import { HEADERS } from '../../../src/protocol/table.ts'
import type { Traffic } from '../../support/memory-bus/faults.ts'
import { FLEET, type Fact } from '../history.ts'
import type { SimFleet } from './slots.ts'
import type { Stage } from './stage.ts'

const ORDERS_KEPT = 6

export interface Ghost {
  /** an order that it may send again */
  heard(traffic: Traffic): void
  haunt(answer: Extract<Fact, { kind: 'order-answer' }>): void
}

export function ghostIn(stage: Stage, fleet: SimFleet): Ghost {
  const { scenario, clock, strike, server } = stage
  const bus = server.connect({ name: 'ghost' })
  const orders = new Map<string, Traffic[]>()
  const haunted = new Set<string>()
  return {
    heard(traffic) {
      if (!scenario.ghosts || traffic.what !== 'message' || traffic.from === 'ghost') return
      if (!/\.(prepare|start|kill|cancel)$/.test(traffic.subject)) return
      const place = placeOf(traffic.subject)
      orders.set(place, [...(orders.get(place) ?? []), traffic].slice(-ORDERS_KEPT))
    },
    haunt({ to, ok }) {
      if (stage.calm || !ok || to.epoch === null || ['inventory', 'adopt'].includes(to.verb)) return
      const place = placeOf(subjectOf(FLEET, 'node.kill', { node: to.node, incarnation: to.incarnation }))
      const slot = fleet.at('agent', Number(to.node.slice(1)))
      for (const old of orders.get(place) ?? []) {
        const epoch = old.headers[HEADERS.epoch]
        const id = `${old.reply} ${to.epoch.n}`
        if (
          epoch === undefined ||
          epoch === `${to.epoch.storeId}/${to.epoch.n}` ||
          !epoch.startsWith(`${to.epoch.storeId}/`) ||
          Number(epoch.split('/')[1]) > to.epoch.n ||
          haunted.has(id)
        )
          continue
        haunted.add(id)
        clock.after(strike.int(20, 800), () => {
          const tick = slot?.process?.clock.now() ?? readOrderHeaders(old.headers).notAfter ?? 0
          bus
            .request(old.subject, old.body, {
              headers: { ...old.headers, [HEADERS.notAfter]: String(tick + 2000) },
              timeoutMs: 1000,
            })
            .catch(() => {})
        })
      }
    },
  }
}

/** The agent that an order is for: the subject without its verb. */
function placeOf(subject: string): string {
  return subject.split('.').slice(0, 6).join('.')
}
