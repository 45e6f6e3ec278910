/**
 * What a leader hears: requests of users, beats and reports of agents, the end of an agent's connection, its
 * own link. Each becomes a fact of its actor; a lease that ran out answers requests by itself.
 */
import type { Fact, RequestOf } from '../../core/coordinator/messages.ts'
import { Fault } from '../../protocol/faults.ts'
import { parseAgentConnectionName, workerIdOf } from '../../protocol/names.ts'
import { orderHeaders } from '../../protocol/order-headers.ts'
import { DISCONNECT_ADVISORY } from '../../protocol/permissions.ts'
import { subjectOf } from '../../protocol/subjects.ts'
import { HEADERS, REQUEST_VERBS, type RequestVerb } from '../../protocol/table.ts'
import type { Message, Subscription } from '../../transport/bus.ts'
import type { Responder } from '../../transport/messenger.ts'
import { eventOf, post, tellLostHistory, type TermState } from './term-state.ts'

/** @returns ends all of it */
export function listen(t: TermState): () => void {
  const subscriptions = [...serveRequests(t), ...hearAgents(t)]
  const stopListening = t.bus.onLink((up) => {
    if (!up) t.term.suspendLease()
    post(t, { kind: 'link', up })
    if (up) askForResync(t)
  })
  const stopTicking = t.clock.every(t.settings.nodesTickMs, () => post(t, { kind: 'nodes-tick' }))
  return () => {
    stopTicking()
    stopListening()
    for (const subscription of subscriptions) subscription.unsubscribe()
    for (const responder of t.responders.values()) responder.fault(notNow())
    t.responders.clear()
  }
}

function serveRequests(t: TermState): Subscription[] {
  let requests = 0
  const ask = (request: Omit<RequestOf, 'kind' | 'id'>, responder: Responder<never>): void => {
    if (!t.term.leased()) return responder.fault(notNow())
    const id = ++requests
    t.responders.set(id, responder as never)
    if (t.actor.offer(eventOf(t, { kind: 'request', id, ...request } as Fact))) return
    t.responders.delete(id)
    responder.fault(new Fault('OVERLOADED', 'the coordinator has too much to do'))
  }
  const ofPeople = (verb: RequestVerb): Subscription =>
    t.messenger.serve(`coordinator.${verb}`, {}, ({ params, headers, body }, responder) =>
      ask({ verb, user: params.user, key: headers[HEADERS.key] ?? null, body } as never, responder as never),
    )
  // the server vouches for run, role and index in the subject
  const ofWorkers = t.messenger.serve('own.status', {}, ({ params: { run, role, index }, body }, responder) =>
    ask(
      {
        verb: 'status',
        own: true,
        user: workerIdOf(run, role, Number(index)),
        key: null,
        body: { ...body, run },
      },
      responder as never,
    ),
  )
  return [...REQUEST_VERBS.map(ofPeople), ofWorkers]
}

function hearAgents(t: TermState): Subscription[] {
  const { messenger, bus, term, clocks } = t
  return [
    messenger.listen('beat', {}, ({ params, body }) => {
      clocks.heard(params.node, body)
      const { epoch } = body
      if (epoch !== null && epoch.storeId === term.epoch.storeId && epoch.n > term.epoch.n)
        tellLostHistory(
          t,
          `node ${params.node} obeyed epoch ${epoch.n}, and the log ends with ${term.epoch.n}`,
        )
      post(t, { kind: 'beat', node: params.node, ...body })
    }),
    messenger.listen('event.worker', {}, ({ params, body }) => {
      const { id: _id, at: _at, what: _what, node, incarnation, rev, ...report } = body
      // the server vouches for the node in the subject, for nothing in the body
      if (
        node !== params.node ||
        report.run !== params.run ||
        report.role !== params.role ||
        String(report.index) !== params.index
      )
        return
      post(t, { kind: 'report', node, incarnation, rev, report })
    }),
    bus.subscribe(DISCONNECT_ADVISORY, (message) => {
      const agent = agentOf(message)
      if (agent !== null) post(t, { kind: 'node-disconnected', ...agent })
    }),
  ]
}

/** Agents state their facts again. */
export function askForResync({ bus, fleet, term }: TermState): void {
  bus.publish(
    subjectOf(fleet, 'nodes.resync', {}),
    new Uint8Array(),
    orderHeaders({ epoch: term.epoch, notAfter: 0 }),
  )
}

function notNow(): Fault {
  return new Fault('NOT_LEADER', 'this coordinator has not heard from its state log; ask again')
}

function agentOf(message: Message): ReturnType<typeof parseAgentConnectionName> {
  try {
    const { client } = JSON.parse(new TextDecoder().decode(message.body)) as { client?: { name?: unknown } }
    return typeof client?.name === 'string' ? parseAgentConnectionName(client.name) : null
  } catch {
    return null
  }
}
