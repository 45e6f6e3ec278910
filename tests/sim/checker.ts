/**
 * The invariants of DESIGN.md section 13 over one history: what the machines and the bus saw, never what an
 * actor believes. I6 needs tenants and is not here. Each rule is one pass over the facts and says what it
 * found with the time of it.
 */
import { isTerminal } from '../../src/protocol/shapes.ts'
import { logBytes } from '../support/sim-log-store.ts'
import type { TrueExit } from '../support/sim-tree.ts'
import type { Fact, WorkerEventBody } from './history.ts'

export interface Violation {
  invariant: string
  at: number
  text: string
}

export interface Ending {
  facts: readonly Fact[]
  /** everything ended before the world's patience did */
  converged: boolean
  prepareLapseMs: number
  /** what was still there, when not */
  left: readonly string[]
  /** the true size of a fork's log */
  sizeOf(forkId: string): number
  /**
   * most timers that waited at once, messages left in STATE, questions that the bus still keeps at the end
   */
  bounds: { timers: number; stateEntries: number; stateEntriesMax: number; inboxes: number }
}

type Check = (ending: Ending, found: (at: number, text: string) => void) => void

function workerOf(forkId: string): string {
  return forkId.slice(0, forkId.lastIndexOf('.'))
}
function sameExit(a: TrueExit, b: { code: number | null; signal: string | null }): boolean {
  return a.code === b.code && a.signal === b.signal
}
function isWorkerEvent(fact: Fact): fact is Extract<Fact, { kind: 'event' }> & { body: WorkerEventBody } {
  return fact.kind === 'event' && 'forkId' in fact.body && 'phase' in fact.body
}
function resetIn(facts: readonly Fact[]): number {
  return facts.find((fact) => fact.kind === 'store-reset')?.at ?? Infinity
}

const acceptedLaunches: Check = ({ facts }, found) => {
  const reset = resetIn(facts)
  const accepted = new Map<string, Set<string>>()
  const rejected = new Set<string>()
  const known = new Set<string>()
  for (const fact of facts) {
    if (fact.kind !== 'event' || 'phase' in fact.body) continue
    const { what, run, key } = fact.body
    if (what === 'accepted') {
      known.add(run)
      if (key != null) accepted.set(key, (accepted.get(key) ?? new Set()).add(run))
    }
    if (what === 'rejected' && key != null) rejected.add(key)
  }
  const answers = new Map<string, string>()
  for (const fact of facts) {
    if (fact.kind === 'client' && fact.answer !== null) {
      const { key, answer } = fact
      if (fact.at < reset && reset < Infinity) continue
      if (!known.has(answer.run)) found(fact.at, `run ${answer.run} was answered, and never heard of again`)
      if (key !== null && (answers.get(key) ?? answer.run) !== answer.run)
        found(fact.at, `key ${key} was answered with ${answers.get(key)} and ${answer.run}`)
      if (key !== null) answers.set(key, answer.run)
    }
    if (fact.kind === 'queued' && reset === Infinity) {
      const key = fact.key ?? String(fact.seq)
      if (
        !accepted.has(key) &&
        !rejected.has(key) &&
        ![...accepted.keys(), ...rejected].some(
          (other) => fact.key === null && other.endsWith(`.${fact.seq}`),
        )
      )
        found(fact.at, `the durable launch ${fact.seq} (key ${key}) was neither accepted nor rejected`)
    }
  }
  if (reset < Infinity) return
  for (const [key, runs] of accepted)
    if (runs.size > 1) found(0, `key ${key} made the runs ${[...runs].join(', ')}`)
  const asked = new Set(
    facts.flatMap((fact) =>
      fact.kind === 'client' ? [fact.key] : fact.kind === 'queued' ? [fact.key ?? fact.seq] : [],
    ),
  )
  if (known.size > asked.size)
    found(0, `${asked.size} launches made ${known.size} runs: ${[...known].join(', ')}`)
}

/**
 * No order leaves before its intent is acknowledged: a leader whose append was refused would act on what
 * nobody knows.
 */
const intentBeforeOrder: Check = ({ facts }, found) => {
  const intended = new Set<string>()
  for (const fact of facts) {
    if (fact.kind === 'state')
      for (const op of fact.entry.ops)
        if (op.op === 'run')
          for (const worker of op.run.workers)
            if (worker.phase === 'placed')
              intended.add(`${op.run.run}.${worker.role}.${worker.index}.${worker.attempt}`)
    if (fact.kind === 'order' && fact.stage === 'message' && fact.verb === 'prepare')
      for (const forkId of fact.forks)
        if (!intended.has(forkId))
          found(fact.at, `${fact.from} ordered to prepare ${forkId}, and no entry says so`)
  }
}

const oneTree: Check = ({ facts }, found) => {
  const live = new Map<string, Set<string>>()
  const started = new Map<string, string>()
  for (const fact of facts) {
    if (fact.kind === 'store-reset') {
      // whoever asks again under the same key gets the same names: what ran before belongs to nobody
      live.clear()
      started.clear()
    }
    if (fact.kind !== 'machine') continue
    const worker = workerOf(fact.forkId)
    const trees = live.get(worker) ?? new Set<string>()
    live.set(worker, trees)
    if (fact.what === 'spawned' && fact.root) {
      const before = started.get(fact.forkId)
      if (before !== undefined)
        found(fact.at, `${fact.forkId} was started on ${before} and again on ${fact.node}`)
      started.set(fact.forkId, fact.node)
      if (trees.size > 0)
        found(fact.at, `${fact.forkId} was started on ${fact.node} beside ${[...trees].join(', ')}`)
      trees.add(fact.forkId)
    }
    if (fact.what === 'empty') trees.delete(fact.forkId)
  }
}

const goneIsGone: Check = ({ facts }, found) => {
  const live = new Map<string, number>()
  const gone = new Map<string, string>()
  for (const fact of facts) {
    if (fact.kind === 'store-reset') {
      gone.clear()
      live.clear()
    }
    if (fact.kind === 'machine' && fact.what === 'spawned') {
      live.set(fact.forkId, (live.get(fact.forkId) ?? 0) + 1)
      if (gone.has(fact.forkId))
        found(fact.at, `a process of ${fact.forkId} began after it was said to be ${gone.get(fact.forkId)}`)
    }
    if (fact.kind === 'machine' && fact.what === 'empty') live.delete(fact.forkId)
    if (
      isWorkerEvent(fact) &&
      (fact.body.phase === 'cancelled' ||
        (fact.body.phase === 'gone' && fact.body.receipt?.outcome === 'gone'))
    ) {
      gone.set(fact.body.forkId, fact.body.phase)
      if (live.has(fact.body.forkId))
        found(fact.at, `${fact.body.forkId} was said to be ${fact.body.phase} while processes of it live`)
    }
  }
}

const ONCE = ['started', 'exited', 'gone', 'logs-final', 'cancelled']

const trueEnds: Check = ({ facts, converged }, found) => {
  const reset = resetIn(facts)
  const truth = new Map<string, TrueExit>()
  const spawned = new Set<string>()
  const told = new Map<string, number>()
  const ended = new Map<string, number>()
  for (const fact of facts) {
    if (fact.kind === 'machine' && fact.what === 'spawned') spawned.add(fact.forkId)
    if (fact.kind === 'machine' && fact.what === 'root-exited') truth.set(fact.forkId, fact.exit)
    if (fact.kind === 'event' && fact.body.what === 'ended' && fact.at < reset)
      ended.set(fact.body.run, (ended.get(fact.body.run) ?? 0) + 1)
    if (isWorkerEvent(fact)) {
      const { forkId, what, exit, startFault } = fact.body
      if (ONCE.includes(what) && fact.at < reset)
        told.set(`${forkId} ${what}`, (told.get(`${forkId} ${what}`) ?? 0) + 1)
      if (
        exit !== null &&
        !(startFault !== null && !truth.has(forkId)) &&
        !(truth.has(forkId) && sameExit(truth.get(forkId)!, exit))
      )
        found(
          fact.at,
          `${forkId} was said to have ended with ${JSON.stringify(exit)}, and it ${truth.has(forkId) ? `ended with ${JSON.stringify(truth.get(forkId))}` : 'runs'}`,
        )
    }
    if (fact.kind === 'archive')
      for (const { forkId, exit, worker } of fact.status.workers) {
        const real = truth.get(forkId)
        if (exit !== null && exit.unknown === null && real !== undefined && !sameExit(real, exit))
          found(
            fact.at,
            `the end of ${worker} is kept as ${JSON.stringify(exit)}, and it was ${JSON.stringify(real)}`,
          )
        if (fact.at < reset && real !== undefined && (exit === null || exit.unknown !== null))
          found(fact.at, `the end of ${worker} was lost: ${JSON.stringify(exit)} for ${JSON.stringify(real)}`)
        if (!isTerminal(fact.status.state))
          found(fact.at, `run ${fact.status.run} was archived while ${fact.status.state}`)
      }
  }
  for (const [what, times] of told) if (times > 1) found(0, `${what} is in the event stream ${times} times`)
  for (const [run, times] of ended) if (times > 1) found(0, `run ${run} ended ${times} times`)
  if (converged && reset === Infinity)
    for (const forkId of spawned)
      for (const what of ['started', 'exited', 'gone', 'logs-final'])
        if (!told.has(`${forkId} ${what}`)) found(0, `${forkId} ran, and no event says ${what}`)
}

const logsAreTheFile: Check = ({ facts, sizeOf }, found) => {
  const covered = new Map<string, [number, number][]>()
  const add = (forkId: string, from: number, to: number): void =>
    void covered.set(forkId, [...(covered.get(forkId) ?? []), [from, to]])
  const reach = (forkId: string): number => {
    let end = 0
    for (const [from, to] of (covered.get(forkId) ?? []).sort((a, b) => a[0] - b[0]))
      if (from <= end) end = Math.max(end, to)
    return end
  }
  for (const fact of facts) {
    if (fact.kind === 'log') {
      if (fact.offset !== null) {
        const { forkId, offset, bytes } = fact
        if (!Buffer.from(bytes).equals(logBytes(forkId, offset, offset + bytes.length)))
          found(fact.at, `the log of ${forkId} at ${offset} is not the file's`)
        if (offset + bytes.length > sizeOf(forkId))
          found(fact.at, `the log of ${forkId} has bytes behind the end of the file`)
        add(forkId, offset, offset + bytes.length)
      }
      if (fact.record?.kind === 'lost') add(fact.forkId, fact.record.from, fact.record.to)
    }
    if (isWorkerEvent(fact) && fact.body.what === 'logs-final') {
      const { forkId, logsFinal } = fact.body
      const said = logsFinal?.['stdout']
      for (const [from, to] of said?.lost ?? []) add(forkId, from, to)
      if ((said?.bytes ?? 0) !== sizeOf(forkId))
        found(
          fact.at,
          `${forkId}: logs-final says ${said?.bytes ?? 'nothing'}, the file has ${sizeOf(forkId)} bytes`,
        )
      if (reach(forkId) < sizeOf(forkId) && resetIn(facts) > fact.at)
        found(
          fact.at,
          `${forkId}: logs-final at ${sizeOf(forkId)} while a reader has ${reach(forkId)} bytes and no named gap`,
        )
    }
  }
}

/**
 * Leases are bounded in time: what is prepared and never started is given back, whatever became of the
 * coordinator.
 */
const preparesLapse: Check = ({ facts, prepareLapseMs }, found) => {
  const end = facts.at(-1)?.at ?? 0
  for (const [i, fact] of facts.entries()) {
    if (fact.kind !== 'machine' || fact.what !== 'prepared') continue
    const { forkId, node } = fact
    const deadline = fact.at + prepareLapseMs + 1000
    if (deadline > end) continue
    let excused = false
    for (let k = i + 1; k < facts.length && !excused && facts[k]!.at <= deadline; k++) {
      const other = facts[k]!
      excused =
        (other.kind === 'machine' && other.forkId === forkId) ||
        (other.kind === 'process' && other.role === 'agent' && `n${other.slot}` === node) ||
        (other.kind === 'order' &&
          other.stage === 'delivered' &&
          other.node === node &&
          other.forks.includes(forkId))
    }
    // frozen when the time came
    const state = facts
      .slice(0, i)
      .findLast(
        (other) => other.kind === 'process' && other.role === 'agent' && `n${other.slot}` === node,
      ) as Extract<Fact, { kind: 'process' }> | undefined
    if (!excused && (state?.what === 'up' || state?.what === 'thawed'))
      found(deadline, `${forkId} is still prepared on ${node}, and nobody has come to start it`)
  }
}

const bounded: Check = ({ bounds }, found) => {
  if (bounds.timers > 5000) found(0, `${bounds.timers} timers waited at once`)
  if (bounds.stateEntries > bounds.stateEntriesMax)
    found(
      0,
      `STATE holds ${bounds.stateEntries} entries; snapshots should keep it under ${bounds.stateEntriesMax}`,
    )
  if (bounds.inboxes > 100) found(0, `${bounds.inboxes} questions wait for ever`)
}

const converges: Check = ({ converged, left }, found) => {
  if (!converged)
    found(
      0,
      `after the faults it did not come to rest: ${left.slice(0, 6).join('; ')}${left.length > 6 ? `; and ${left.length - 6} more` : ''}`,
    )
}

const deposedHasNoEffect: Check = ({ facts }, found) => {
  /** highest epoch that an incarnation has obeyed */
  const obeyed = new Map<string, { storeId: string; n: number }>()
  const atDelivery = new Map<string, number>()
  const epochs = new Map<string, number>()
  const leader = { writer: '', since: Infinity }
  const incarnations = new Map<string, string>()
  for (const fact of facts) {
    if (fact.kind === 'process' && fact.what === 'up') incarnations.set(fact.name, fact.incarnation)
    if (fact.kind === 'order' && fact.stage === 'delivered' && !['inventory', 'adopt'].includes(fact.verb)) {
      const highest = obeyed.get(fact.incarnation)
      if (highest !== undefined && highest.storeId === fact.epoch?.storeId)
        atDelivery.set(fact.reply, Math.max(atDelivery.get(fact.reply) ?? 0, highest.n))
    }
    if (
      fact.kind === 'order-answer' &&
      fact.ok &&
      !fact.lost &&
      fact.to.epoch !== null &&
      !['inventory', 'adopt'].includes(fact.to.verb)
    ) {
      const { epoch, incarnation, reply } = fact.to
      const highest = atDelivery.get(reply)
      if (highest !== undefined && epoch.n < highest)
        found(
          fact.at,
          `${fact.to.node} obeyed ${fact.to.verb} ${fact.to.forks.join(', ')} of epoch ${epoch.n} after one of ${highest}`,
        )
      const known = obeyed.get(incarnation)
      if (known === undefined || known.storeId !== epoch.storeId || known.n < epoch.n)
        obeyed.set(incarnation, epoch)
    }
    if (fact.kind === 'state') {
      const { epoch, writer, kind } = fact.entry
      if ((epochs.get(epoch.storeId) ?? 0) > epoch.n)
        found(
          fact.at,
          `${fact.from} wrote STATE in epoch ${epoch.n} after epoch ${epochs.get(epoch.storeId)}`,
        )
      if (kind === 'takeover' && epochs.get(epoch.storeId) === epoch.n)
        found(fact.at, `${fact.from} took over in epoch ${epoch.n}, which was another's`)
      if (epochs.size > 0 && !epochs.has(epoch.storeId) && resetIn(facts) > fact.at)
        found(fact.at, `${fact.from} speaks of another store, and none was lost`)
      epochs.set(epoch.storeId, epoch.n)
      if (kind === 'takeover' && leader.writer !== writer) Object.assign(leader, { writer, since: fact.at })
    }
    // an answer is a few ms under way: what was sent before the takeover is no offence
    if (
      fact.kind === 'served' &&
      fact.ok &&
      fact.at - leader.since > 10 &&
      incarnations.get(fact.from) !== leader.writer
    )
      found(fact.at, `${fact.from} answered ${fact.verb} after it was deposed`)
  }
}

const orphansEnd: Check = ({ facts }, found) => {
  for (const fact of facts)
    if (fact.kind === 'orphans' && fact.trees.length > 0)
      found(
        fact.at,
        `${fact.node} still runs ${fact.trees.join(', ')}, and nobody has answered for them for longer than the bound`,
      )
}

const CHECKS: readonly (readonly [string, Check])[] = [
  ['I1', acceptedLaunches],
  ['I1', intentBeforeOrder],
  ['I2', oneTree],
  ['I3', goneIsGone],
  ['I4', trueEnds],
  ['I5', logsAreTheFile],
  ['I7', bounded],
  ['I7', preparesLapse],
  ['I8', converges],
  ['I9', deposedHasNoEffect],
  ['I10', orphansEnd],
]

export function check(ending: Ending): Violation[] {
  const violations: Violation[] = []
  for (const [invariant, run] of CHECKS)
    run(ending, (at, text) => void violations.push({ invariant, at, text }))
  return violations
}
