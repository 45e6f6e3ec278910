/**
 * Lets `nats micro ls` see a coordinator or an agent: answers `$SRV.PING|INFO|STATS`. It is for discovery
 * only: no endpoint is served through it. There is no queue group: requests would still be sent to a frozen
 * member.
 */
import type { Bus, Subscription } from './bus.ts'

export interface Announced {
  /** a service's name: letters, digits, `-`, `_` */
  name: string
  /** semantic version */
  version: string
  /** one start of one process */
  id: string
  description: string
  metadata?: Readonly<Record<string, string>>
}

/** @returns ends the announcement */
export function announceService(
  bus: Bus,
  { name, version, id, description, metadata = {} }: Announced,
): Subscription {
  const started = new Date().toISOString()
  const base = { name, id, version, metadata }
  const answers = {
    PING: { type: 'io.nats.micro.v1.ping_response', ...base },
    INFO: { type: 'io.nats.micro.v1.info_response', ...base, description, endpoints: [] },
    STATS: { type: 'io.nats.micro.v1.stats_response', ...base, started, endpoints: [] },
  }
  const subscriptions = Object.entries(answers).flatMap(([verb, answer]) => {
    const body = new TextEncoder().encode(JSON.stringify(answer))
    return [`$SRV.${verb}`, `$SRV.${verb}.${name}`, `$SRV.${verb}.${name}.${id}`].map((subject) =>
      bus.subscribe(subject, (message) => message.respond(body)),
    )
  })
  return { unsubscribe: () => subscriptions.forEach((subscription) => subscription.unsubscribe()) }
}
