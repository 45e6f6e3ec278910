/**
 * What happened in one seed, as the machines and the bus saw it: the one thing that checker.ts and
 * situations.ts read. The actors' own state is not in it.
 */
import { decode } from '../../src/protocol/codec.ts'
import type { StateEntry } from '../../src/protocol/records.ts'
import type { ForkReport, RunStatus } from '../../src/protocol/shapes.ts'
import { rootOf } from '../../src/protocol/subjects.ts'
import { HEADERS } from '../../src/protocol/table.ts'
import { parseEpoch } from '../../src/protocol/order-headers.ts'
import { readLogHeaders, type LogRecord } from '../../src/protocol/log-records.ts'
import type { Traffic } from '../support/memory-bus/faults.ts'
import type { MachineFact } from '../support/sim-host.ts'

export const FLEET = 'sim'
const ROOT = rootOf(FLEET)

export interface EventBody {
  id: string
  what: string
  run: string
  state?: string
  code?: number | null
  key?: string | null
  fault?: Record<string, unknown> | null
}
export type WorkerEventBody = EventBody & ForkReport & { node: string; incarnation: string; rev: number }

export interface OrderFact {
  verb: string
  node: string
  /** of the agent that it is addressed to */
  incarnation: string
  from: string
  /** connection that it reached */
  to: string | null
  epoch: { storeId: string; n: number } | null
  forks: string[]
  reply: string
  copy: number
}

export type Fact = { at: number } & (
  | ({ kind: 'machine'; node: string } & MachineFact)
  | {
      kind: 'process'
      what: 'up' | 'killed' | 'frozen' | 'thawed'
      name: string
      role: 'coordinator' | 'agent'
      slot: number
      incarnation: string
      before: string | null
    }
  | { kind: 'link'; name: string; up: boolean }
  | { kind: 'store-reset' }
  | { kind: 'disk'; what: 'well' | 'slow' | 'full' }
  /** a stream did not take it */
  | { kind: 'append-refused'; from: string; subject: string }
  | { kind: 'calm' }
  /** no coordinator gave a sign of life for longer than orphans may live; an agent that was there all the time has these trees */
  | { kind: 'orphans'; node: string; trees: string[] }
  /** an append that landed, and whether its ack was lost */
  | { kind: 'ack-lost'; from: string; subject: string }
  | { kind: 'dropped-unconnected'; from: string; subject: string }
  | { kind: 'event'; seq: number; subject: string; body: EventBody | WorkerEventBody }
  | { kind: 'event-heard'; to: string; subject: string; copy: number }
  | { kind: 'state'; seq: number; from: string; entry: StateEntry }
  | { kind: 'archive'; status: RunStatus }
  | { kind: 'queued'; seq: number; key: string | null }
  | { kind: 'queue-redelivered'; seq: number }
  | {
      kind: 'log'
      node: string
      forkId: string
      offset: number | null
      bytes: Uint8Array
      record: LogRecord | null
    }
  | ({ kind: 'order'; stage: 'message' | 'arrived' | 'delivered'; frozen: boolean } & OrderFact)
  | { kind: 'order-answer'; to: OrderFact; ok: boolean; code: string | null; lost: boolean }
  /** a coordinator answered a client without a fault */
  | { kind: 'served'; from: string; verb: string; ok: boolean }
  | {
      kind: 'client'
      launch: number
      key: string | null
      answer: { run: string; existing: boolean } | null
      fault: string | null
    }
)

export interface History {
  readonly facts: readonly Fact[]
  add(fact: DistributiveOmit<Fact, 'at'>): void
  traffic(traffic: Traffic, frozen: (name: string) => boolean): void
  /** an answer on this inbox will never arrive */
  answerLost(inbox: string): void
}
type DistributiveOmit<T, K extends keyof never> = T extends unknown ? Omit<T, K> : never

export function historyOn(now: () => number, listener: (fact: Fact) => void = () => {}): History {
  const facts: Fact[] = []
  const add: History['add'] = (fact) => {
    const whole = { at: now(), ...fact } as Fact
    facts.push(whole)
    listener(whole)
  }
  /** inboxes of orders and of clients' questions that are not answered yet */
  const asked = new Map<string, { order: OrderFact } | { verb: string }>()

  const orderOf = (traffic: Traffic): OrderFact => {
    const [, , , , node, incarnation, verb] = traffic.subject.split('.')
    const body = decode(traffic.body, traffic.headers[HEADERS.contentType]) as {
      forks?: (string | { forkId: string })[]
      forkId?: string
    }
    return {
      verb: verb!,
      node: node!,
      incarnation: incarnation!,
      from: traffic.from,
      to: traffic.to,
      epoch: parseEpoch(traffic.headers[HEADERS.epoch]),
      forks:
        body.forkId !== undefined
          ? [body.forkId]
          : (body.forks ?? []).map((fork) => (typeof fork === 'string' ? fork : fork.forkId)),
      reply: traffic.reply ?? '',
      copy: traffic.copy,
    }
  }

  return {
    facts,
    add,
    answerLost(inbox) {
      const question = asked.get(inbox)
      if (question !== undefined && 'order' in question)
        add({ kind: 'order-answer', to: question.order, ok: true, code: null, lost: true })
    },
    traffic(traffic, frozen) {
      const { subject, what } = traffic
      if (subject.startsWith('_INBOX.')) {
        if (what !== 'message' && what !== 'delivered') return
        const question = asked.get(subject)
        if (question === undefined) return
        const fault = traffic.headers[HEADERS.error]
        const ok = fault === undefined
        if ('verb' in question) {
          if (what === 'message') add({ kind: 'served', from: traffic.from, verb: question.verb, ok })
        } else if (what === 'message')
          add({
            kind: 'order-answer',
            to: question.order,
            ok,
            code: ok ? null : fault!.split(':')[0]!,
            lost: false,
          })
        return
      }
      const rest = subject.slice(ROOT.length + 1)
      if (rest.startsWith('node.')) {
        if (what === 'append') return
        const order = orderOf(traffic)
        if (what === 'message' && order.reply !== '') asked.set(order.reply, { order })
        return add({
          kind: 'order',
          stage: what,
          frozen: what === 'arrived' && frozen(traffic.to!),
          ...order,
        })
      }
      if (rest.startsWith('coordinator.')) {
        if (what === 'message' && traffic.reply !== null)
          asked.set(traffic.reply, { verb: rest.split('.')[1]! })
        return
      }
      if (rest.startsWith('event.') && what === 'delivered')
        return add({ kind: 'event-heard', to: traffic.to!, subject, copy: traffic.copy })
      if (rest.startsWith('launch.') && what === 'delivered' && traffic.stream !== null && traffic.copy > 0)
        return add({ kind: 'queue-redelivered', seq: traffic.seq! })
      if (what !== 'append') return
      if (traffic.seq === null) return add({ kind: 'append-refused', from: traffic.from, subject })
      const { seq } = traffic
      if (rest === 'state')
        add({
          kind: 'state',
          seq,
          from: traffic.from,
          entry: decode(traffic.body, traffic.headers[HEADERS.contentType]) as StateEntry,
        })
      else if (rest.startsWith('event.'))
        add({
          kind: 'event',
          seq,
          subject,
          body: decode(traffic.body, traffic.headers[HEADERS.contentType]) as EventBody,
        })
      else if (rest.startsWith('archive.'))
        add({
          kind: 'archive',
          status: decode(traffic.body, traffic.headers[HEADERS.contentType]) as RunStatus,
        })
      else if (rest.startsWith('launch.'))
        add({ kind: 'queued', seq, key: traffic.headers[HEADERS.key] ?? null })
      else if (rest.startsWith('log.')) {
        const head = readLogHeaders(traffic.headers)
        if (head !== null)
          add({
            kind: 'log',
            node: subject.split('.').at(-1)!,
            forkId: head.forkId,
            offset: head.offset,
            bytes: traffic.body,
            record: head.record,
          })
      }
    },
  }
}

export function eventsOf(history: readonly Fact[]): Extract<Fact, { kind: 'event' }>[] {
  return history.filter((fact) => fact.kind === 'event')
}
