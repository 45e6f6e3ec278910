/**
 * State of a running agent, as its parts share it: the machine and the bus that it was given, its actor, the
 * requests that wait for an answer. Owns that a request is answered once.
 */
import type { AgentEvent } from '../../core/agent/agent-state.ts'
import { Fault } from '../../protocol/faults.ts'
import type { AgentStore } from '../../process/agent-store.ts'
import type { LogStore } from '../../process/log-store.ts'
import type { ProcessHost } from '../../process/process-host.ts'
import type { Clock } from '../../system/clock.ts'
import type { Bus, Subscription } from '../../transport/bus.ts'
import type { Messenger } from '../../transport/messenger.ts'
import type { ActorHandle } from '../kernel.ts'
import type { LogServer } from '../logs/log-server.ts'
import type { LogShipper } from '../logs/log-shipper.ts'
import type { AgentHost } from './agent-host.ts'
import type { FactEmitter } from './fact-emitter.ts'

/** What an agent is given. */
export interface AgentContext {
  bus: Bus
  fleet: string
  node: string
  /** A ULID, new at each start. */
  incarnation: string
  host: ProcessHost
  logs: LogStore
  store: AgentStore
  clock: Clock
  /** counts the connections of this incarnation; absent: there is one */
  link?(): number
  log(fields: Record<string, unknown>): void
}

export interface Answer {
  reply(body: never): void
  fault(fault: Fault): void
}

export interface AgentEnd {
  why: 'stopped' | 'superseded'
}

export interface LiveAgent extends AgentContext {
  readonly messenger: Messenger
  readonly actor: ActorHandle<AgentEvent>
  readonly agentHost: AgentHost
  readonly emitter: FactEmitter
  readonly shipper: LogShipper
  readonly logServer: LogServer
  /** Requests that wait for an answer, by their number. */
  readonly answers: Map<number, Answer>
  /** Requests so far. */
  requests: number
  /** Workers whose health is served, by their id. */
  readonly health: Map<string, { forks: Set<string>; subscription: Subscription }>
  /** Forks that were released so far, and whose logs stayed. */
  released: number
  /** The agent's end calls them, in this order. */
  readonly stops: (() => void)[]
  onJoined(): void
  onEnded(end: AgentEnd): void
}

/** Hand a request to the step; at the mailbox's watermark the request is shed. */
export function offer(a: LiveAgent, responder: Answer, eventOf: (request: number) => AgentEvent): void {
  const request = ++a.requests
  a.answers.set(request, responder)
  if (!a.actor.offer(eventOf(request)))
    answer(a, request, (one) => one.fault(new Fault('OVERLOADED', `node ${a.node} has too much to do`)))
}

export function answer({ answers }: LiveAgent, request: number, say: (answer: Answer) => void): void {
  const waiting = answers.get(request)
  answers.delete(request)
  if (waiting !== undefined) say(waiting)
}
