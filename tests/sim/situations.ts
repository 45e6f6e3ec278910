/**
 * The named situations: which of them a history contains. A simulation that never meets one proves nothing
 * about it, so `npm run sim` counts the seeds and fails when one is rare.
 */
import { isTerminal } from '../../src/protocol/shapes.ts'
import type { Fact } from './history.ts'

export const SITUATIONS = [
  'coordinator dies between intent and order',
  'reply lost after start',
  'duplicate after the terminal state',
  'agent restarts between prepare and start',
  'exit while the agent is dead',
  'deposed coordinator sends',
  'late timer of an old attempt',
  'append landed with its ack lost',
  'freeze and thaw with an order in the buffer',
  'two incarnations on one spool',
  'publish dropped while disconnected',
  'queued launch redelivered',
  'state store made anew',
  'appends on a slow disk',
  'appends refused by a full disk',
] as const
export type Situation = (typeof SITUATIONS)[number]

/** how long a prepare's lapse timer runs: the timer of a fork that did start is stale when it comes */
export function situationsOf(facts: readonly Fact[], prepareLapseMs: number): Set<Situation> {
  const seen = new Set<Situation>()
  const agentUp = new Map<number, string>()
  const prepared = new Map<string, { node: string; agent: number }>()
  const agentStarts = new Map<number, number>()
  const placed = new Map<string, { writer: string; at: number }>()
  const ordered = new Set<string>()
  const ended = new Set<string>()
  const gone = new Set<string>()
  const frozenWithOrder = new Set<string>()
  const firstPrepare: { forkId: string; at: number }[] = []
  const spawnedAt = new Map<string, number>()
  const emptyAt = new Map<string, number>()
  const last = facts.at(-1)?.at ?? 0
  let epoch: { storeId: string; n: number } | null = null
  let disk: 'well' | 'slow' | 'full' = 'well'

  for (const fact of facts) {
    switch (fact.kind) {
      case 'process':
        if (fact.role === 'agent') {
          if (fact.what === 'up') {
            if (agentUp.has(fact.slot)) seen.add('two incarnations on one spool')
            agentUp.set(fact.slot, fact.name)
            agentStarts.set(fact.slot, (agentStarts.get(fact.slot) ?? 0) + 1)
          }
          if (fact.what === 'killed' && agentUp.get(fact.slot) === fact.name) agentUp.delete(fact.slot)
        }
        if (fact.role === 'coordinator' && fact.what === 'killed')
          for (const [forkId, intent] of placed)
            if (intent.writer === fact.incarnation && !ordered.has(forkId))
              seen.add('coordinator dies between intent and order')
        if (fact.what === 'thawed' && frozenWithOrder.has(fact.name))
          seen.add('freeze and thaw with an order in the buffer')
        break
      case 'machine': {
        const slot = Number(fact.node.slice(1))
        if (fact.what === 'prepared') {
          prepared.set(fact.forkId, { node: fact.node, agent: agentStarts.get(slot) ?? 0 })
          firstPrepare.push({ forkId: fact.forkId, at: fact.at })
        }
        if (fact.what === 'spawned' && fact.root) {
          spawnedAt.set(fact.forkId, fact.at)
          prepared.delete(fact.forkId)
        }
        if (fact.what === 'root-exited' && !agentUp.has(slot)) seen.add('exit while the agent is dead')
        if (fact.what === 'empty') {
          gone.add(fact.forkId)
          emptyAt.set(fact.forkId, fact.at)
        }
        break
      }
      case 'disk':
        disk = fact.what
        break
      case 'append-refused':
        if (disk === 'full') seen.add('appends refused by a full disk')
        break
      case 'state':
        if (disk === 'slow') seen.add('appends on a slow disk')
        epoch = fact.entry.epoch
        for (const op of fact.entry.ops)
          if (op.op === 'run')
            for (const worker of op.run.workers)
              if (worker.phase === 'placed') {
                const forkId = `${op.run.run}.${worker.role}.${worker.index}.${worker.attempt}`
                if (!placed.has(forkId)) placed.set(forkId, { writer: fact.entry.writer, at: fact.at })
              }
        break
      case 'order':
        if (fact.stage === 'message') {
          if (fact.verb === 'prepare') for (const forkId of fact.forks) ordered.add(forkId)
          if (
            fact.epoch !== null &&
            epoch !== null &&
            fact.epoch.storeId === epoch.storeId &&
            fact.epoch.n < epoch.n
          )
            seen.add('deposed coordinator sends')
        }
        if (fact.stage === 'arrived' && fact.frozen) frozenWithOrder.add(fact.to!)
        if (fact.stage === 'delivered' && fact.copy > 0 && fact.forks.some((forkId) => gone.has(forkId)))
          seen.add('duplicate after the terminal state')
        break
      case 'order-answer':
        if (fact.lost && fact.ok && fact.to.verb === 'start') seen.add('reply lost after start')
        break
      case 'event':
        if (
          fact.body.what === 'ended' ||
          (fact.body.state !== undefined && isTerminal(fact.body.state as never))
        )
          ended.add(fact.body.run)
        break
      case 'event-heard':
        if (fact.copy > 0 && ended.has(fact.subject.split('.')[4]!))
          seen.add('duplicate after the terminal state')
        break
      case 'ack-lost':
        seen.add('append landed with its ack lost')
        break
      case 'dropped-unconnected':
        seen.add('publish dropped while disconnected')
        break
      case 'queue-redelivered':
        seen.add('queued launch redelivered')
        break
      case 'store-reset':
        seen.add('state store made anew')
        break
      default:
    }
  }

  // "between prepare and start": prepared under one incarnation of the agent, another one came before any
  // process of it
  const restarts = facts.filter(
    (fact) => fact.kind === 'process' && fact.role === 'agent' && fact.what === 'up',
  ) as Extract<Fact, { kind: 'process' }>[]
  for (const { forkId, at } of firstPrepare) {
    const node =
      prepared.get(forkId)?.node ??
      facts.find((fact) => fact.kind === 'machine' && fact.forkId === forkId && fact.what === 'prepared')
    const slot =
      typeof node === 'string' ? Number(node.slice(1)) : Number((node as { node: string }).node.slice(1))
    if (
      restarts.some(
        (fact) =>
          fact.slot === slot &&
          fact.at > at &&
          fact.at < (spawnedAt.get(forkId) ?? emptyAt.get(forkId) ?? at + prepareLapseMs),
      )
    )
      seen.add('agent restarts between prepare and start')
    // the lapse timer of this attempt goes off while a later attempt of the same worker lives
    const [run, role, index, attempt] = forkId.split('.')
    const lapse = at + prepareLapseMs
    if (lapse <= last)
      for (const [other, since] of spawnedAt) {
        const parts = other.split('.')
        if (
          parts[0] === run &&
          parts[1] === role &&
          parts[2] === index &&
          Number(parts[3]) > Number(attempt) &&
          since < lapse &&
          (emptyAt.get(other) ?? Infinity) > lapse
        )
          seen.add('late timer of an old attempt')
      }
  }
  return seen
}
