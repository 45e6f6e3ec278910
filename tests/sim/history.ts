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
  /**
   * No coordinator gave a sign of life for longer than orphans may live. An agent that was there all the time
   * has these trees.
   */
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
  add(fact: NewFact): void
  traffic(traffic: Traffic, frozen: (name: string) => boolean): void
  /** an answer on this inbox will never arrive */
  answerLost(inbox: string): void
}
type NewFact = DistributiveOmit<Fact, 'at'>
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

  const answered = ({ subject, what, from, headers }: Traffic): void => {
    const question = what === 'message' ? asked.get(subject) : undefined
    if (question === undefined) return
    const code = headers[HEADERS.error]?.split(':')[0] ?? null
    if ('verb' in question) add({ kind: 'served', from, verb: question.verb, ok: code === null })
    else add({ kind: 'order-answer', to: question.order, ok: code === null, code, lost: false })
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
      const { subject, what, reply } = traffic
      if (subject.startsWith('_INBOX.')) return answered(traffic)
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
        if (what === 'message' && reply !== null) asked.set(reply, { verb: rest.split('.')[1]! })
        return
      }
      if (rest.startsWith('event.') && what === 'delivered')
        return add({ kind: 'event-heard', to: traffic.to!, subject, copy: traffic.copy })
      if (rest.startsWith('launch.') && what === 'delivered' && traffic.stream !== null && traffic.copy > 0)
        return add({ kind: 'queue-redelivered', seq: traffic.seq! })
      if (what !== 'append') return
      const fact =
        traffic.seq === null
          ? ({ kind: 'append-refused', from: traffic.from, subject } as const)
          : appended(traffic, rest, traffic.seq)
      if (fact !== null) add(fact)
    },
  }
}

function orderOf(traffic: Traffic): OrderFact {
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

/** What a stream took, by the subject below the fleet's root. */
function appended({ subject, from, body, headers }: Traffic, rest: string, seq: number): NewFact | null {
  const content = <T>(): T => decode(body, headers[HEADERS.contentType]) as T
  switch (rest.split('.')[0]) {
    case 'state':
      return { kind: 'state', seq, from, entry: content<StateEntry>() }
    case 'event':
      return { kind: 'event', seq, subject, body: content<EventBody>() }
    case 'archive':
      return { kind: 'archive', status: content<RunStatus>() }
    case 'launch':
      return { kind: 'queued', seq, key: headers[HEADERS.key] ?? null }
    case 'log': {
      const head = readLogHeaders(headers)
      if (head === null) return null
      const { forkId, offset, record } = head
      return { kind: 'log', node: subject.split('.').at(-1)!, forkId, offset, bytes: body, record }
    }
    default:
      return null
  }
}

export function eventsOf(history: readonly Fact[]): Extract<Fact, { kind: 'event' }>[] {
  return history.filter((fact) => fact.kind === 'event')
}
