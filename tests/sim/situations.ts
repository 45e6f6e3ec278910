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

type Finder = (facts: readonly Fact[], found: (situation: Situation) => void, prepareLapseMs: number) => void

/** @param prepareLapseMs  the timer of a fork that did start is stale when it comes */
export function situationsOf(facts: readonly Fact[], prepareLapseMs: number): Set<Situation> {
  const seen = new Set<Situation>()
  for (const find of [singles, agents, orders, ends, disks, restarts, timers])
    find(facts, (situation) => void seen.add(situation), prepareLapseMs)
  return seen
}

const SINGLES: Partial<Record<Fact['kind'], Situation>> = {
  'ack-lost': 'append landed with its ack lost',
  'dropped-unconnected': 'publish dropped while disconnected',
  'queue-redelivered': 'queued launch redelivered',
  'store-reset': 'state store made anew',
}

function singles(facts: readonly Fact[], found: (situation: Situation) => void): void {
  for (const { kind } of facts) if (SINGLES[kind] !== undefined) found(SINGLES[kind])
}

/** Agents that die, are frozen, or share a spool. */
const agents: Finder = (facts, found) => {
  const up = new Map<number, string>()
  const frozenWithOrder = new Set<string>()
  for (const fact of facts) {
    if (fact.kind === 'order' && fact.stage === 'arrived' && fact.frozen) frozenWithOrder.add(fact.to!)
    if (fact.kind === 'machine' && fact.what === 'root-exited' && !up.has(slotOf(fact.node)))
      found('exit while the agent is dead')
    if (fact.kind !== 'process') continue
    const { role, what, slot, name } = fact
    if (what === 'thawed' && frozenWithOrder.has(name)) found('freeze and thaw with an order in the buffer')
    if (role === 'agent' && what === 'up') {
      if (up.has(slot)) found('two incarnations on one spool')
      up.set(slot, name)
    }
    if (role === 'agent' && what === 'killed' && up.get(slot) === name) up.delete(slot)
  }
}

/** What a coordinator sends, or does not live to send. */
const orders: Finder = (facts, found) => {
  /** fork ids that STATE has as placed, by the incarnation that wrote so */
  const placed = new Map<string, string>()
  const ordered = new Set<string>()
  let epoch: { storeId: string; n: number } | null = null
  for (const fact of facts) {
    if (fact.kind === 'state') {
      epoch = fact.entry.epoch
      for (const forkId of placedIn(fact)) if (!placed.has(forkId)) placed.set(forkId, fact.entry.writer)
    }
    if (fact.kind === 'order' && fact.stage === 'message') {
      if (fact.verb === 'prepare') for (const forkId of fact.forks) ordered.add(forkId)
      if (fact.epoch !== null && fact.epoch.storeId === epoch?.storeId && fact.epoch.n < epoch.n)
        found('deposed coordinator sends')
    }
    if (fact.kind === 'process' && fact.role === 'coordinator' && fact.what === 'killed')
      for (const [forkId, writer] of placed)
        if (writer === fact.incarnation && !ordered.has(forkId))
          found('coordinator dies between intent and order')
    if (fact.kind === 'order-answer' && fact.lost && fact.ok && fact.to.verb === 'start')
      found('reply lost after start')
  }
}

function placedIn(fact: Extract<Fact, { kind: 'state' }>): string[] {
  return fact.entry.ops.flatMap((op) =>
    op.op !== 'run'
      ? []
      : op.run.workers
          .filter((worker) => worker.phase === 'placed')
          .map((worker) => `${op.run.run}.${worker.role}.${worker.index}.${worker.attempt}`),
  )
}

const ends: Finder = (facts, found) => {
  const gone = new Set<string>()
  const ended = new Set<string>()
  for (const fact of facts) {
    if (fact.kind === 'machine' && fact.what === 'empty') gone.add(fact.forkId)
    if (fact.kind === 'event') {
      const { what, state, run } = fact.body
      if (what === 'ended' || (state !== undefined && isTerminal(state as never))) ended.add(run)
    }
    if (
      (fact.kind === 'order' &&
        fact.stage === 'delivered' &&
        fact.copy > 0 &&
        fact.forks.some((forkId) => gone.has(forkId))) ||
      (fact.kind === 'event-heard' && fact.copy > 0 && ended.has(fact.subject.split('.')[4]!))
    )
      found('duplicate after the terminal state')
  }
}

const disks: Finder = (facts, found) => {
  let disk: 'well' | 'slow' | 'full' = 'well'
  for (const fact of facts) {
    if (fact.kind === 'disk') disk = fact.what
    if (fact.kind === 'append-refused' && disk === 'full') found('appends refused by a full disk')
    if (fact.kind === 'state' && disk === 'slow') found('appends on a slow disk')
  }
}

/** Prepared under one incarnation of the agent, and another one came before any process of it. */
const restarts: Finder = (facts, found, prepareLapseMs) => {
  const { prepared, spawned, empty } = livesOf(facts)
  const ups = facts.flatMap((fact) =>
    fact.kind === 'process' && fact.role === 'agent' && fact.what === 'up' ? [fact] : [],
  )
  for (const { forkId, node, at } of prepared) {
    const until = spawned.get(forkId) ?? empty.get(forkId) ?? at + prepareLapseMs
    if (ups.some((up) => up.slot === slotOf(node) && up.at > at && up.at < until))
      found('agent restarts between prepare and start')
  }
}

/** The lapse timer of an attempt goes off while a later attempt of the same worker lives. */
const timers: Finder = (facts, found, prepareLapseMs) => {
  const { prepared, spawned, empty } = livesOf(facts)
  const last = facts.at(-1)?.at ?? 0
  for (const { forkId, at } of prepared) {
    const lapse = at + prepareLapseMs
    if (lapse > last) continue
    const [worker, attempt] = workerAndAttempt(forkId)
    for (const [other, since] of spawned) {
      const [otherWorker, otherAttempt] = workerAndAttempt(other)
      if (otherWorker !== worker || otherAttempt <= attempt) continue
      if (since < lapse && (empty.get(other) ?? Infinity) > lapse) found('late timer of an old attempt')
    }
  }
}

function livesOf(facts: readonly Fact[]) {
  const prepared: { forkId: string; node: string; at: number }[] = []
  const spawned = new Map<string, number>()
  const empty = new Map<string, number>()
  for (const fact of facts) {
    if (fact.kind !== 'machine') continue
    const { forkId, node, at } = fact
    if (fact.what === 'prepared') prepared.push({ forkId, node, at })
    if (fact.what === 'spawned' && fact.root) spawned.set(forkId, at)
    if (fact.what === 'empty') empty.set(forkId, at)
  }
  return { prepared, spawned, empty }
}

function slotOf(node: string): number {
  return Number(node.slice(1))
}
function workerAndAttempt(forkId: string): [string, number] {
  const end = forkId.lastIndexOf('.')
  return [forkId.slice(0, end), Number(forkId.slice(end + 1))]
}
