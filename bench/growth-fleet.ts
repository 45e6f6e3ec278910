/**
 * The coordinator's step with agents that do at once what they are told: as little beside the step itself
 * as can be, so that its growth is what is measured.
 */
import { emptyDurable } from '../src/core/coordinator/fold.ts'
import { heapOf, type Heap } from '../src/core/coordinator/heap.ts'
import type { Fact, OrderOf, OrderReply } from '../src/core/coordinator/messages.ts'
import { COORDINATOR_DEFAULTS } from '../src/core/coordinator/settings.ts'
import { newState } from '../src/core/coordinator/new-state.ts'
import type { CoordinatorState } from '../src/core/coordinator/types.ts'
import { stepCoordinator } from '../src/core/coordinator/step.ts'
import { blankReport } from '../src/protocol/blank-report.ts'
import { isTerminal, type ForkReport } from '../src/protocol/shapes.ts'

const GIB = 1024 ** 3
const WALL = 1_700_000_000_000
const INCARNATION = '01ARZ3NDEKTSV4RRFFQ69G5FAV'
const BEAT_MS = 500

interface World {
  now: number
  requests: number
  /** facts that each node has stated */
  readonly revs: Map<string, number>
  readonly running: Map<string, { node: string; report: ForkReport }>
  readonly gpus: number
  longestMs: number
  todo: OrderOf[]
  readonly timers: Heap<{ at: number; fact: Fact }>
  state: CoordinatorState
}

function step(w: World, fact: Fact): void {
  const began = performance.now()
  const [next, out] = stepCoordinator(w.state, { ...fact, now: w.now, wall: WALL + w.now })
  w.longestMs = Math.max(w.longestMs, performance.now() - began)
  w.state = next
  for (const command of out) {
    if (command.kind === 'order') w.todo.push(command.order)
    else if (command.kind === 'timer')
      w.timers.push({ at: command.at, fact: { kind: 'timer', timer: command.timer } })
    else if (command.kind === 'refuse') throw new Error(command.fault.message)
  }
}

function due(w: World): boolean {
  const first = w.timers.first()
  if (first === undefined || first.at > w.now) return false
  w.timers.remove(first)
  step(w, first.fact)
  return true
}

/** Until no order is unanswered and nothing is left for a next step. */
function pump(w: World): void {
  while (w.todo.length > 0 || due(w)) {
    const orders = w.todo
    w.todo = []
    const at = WALL + w.now
    for (const order of orders)
      step(w, {
        kind: 'order-result',
        id: order.id,
        sentWall: at,
        gotWall: at,
        reply: replyTo(w, order),
        fault: null,
      })
  }
}

function replyTo(w: World, order: OrderOf): OrderReply {
  switch (order.verb) {
    case 'inventory': {
      const capacity = capacityOf(order.node, w.gpus)
      return { rev: w.revs.get(order.node)!, pid: 1, capacity, forks: [], epoch: null, next: null }
    }
    case 'prepare':
      return {
        token: `t${order.id}`,
        forks: order.body.forks.map(({ forkId }) => reportOf(forkId, 'prepared')),
      }
    case 'start':
      return { forks: order.body.forks.map(({ forkId }) => started(w, order.node, forkId)) }
    default:
      return { forks: [] }
  }
}

function started(w: World, node: string, forkId: string): ForkReport {
  const report = { ...reportOf(forkId, 'running'), pid: 1, startedAt: WALL + w.now, ready: true }
  w.running.set(forkId, { node, report })
  return report
}

function beat(w: World, node: string): void {
  const facts = { tick: w.now, rev: w.revs.get(node)!, loopLagMs: 0 }
  const flags = { storeRefused: false, leaving: false, draining: false }
  step(w, { kind: 'beat', node, incarnation: INCARNATION, ...facts, ...flags })
}

function end(w: World, node: string, report: ForkReport): void {
  const rev = w.revs.get(node)! + 1
  w.revs.set(node, rev)
  const last = { ...ended(report), exitedAt: WALL + w.now }
  step(w, { kind: 'report', node, incarnation: INCARNATION, rev, report: last })
  pump(w)
}

/** Beats and ticks of so much time. */
function pass(w: World, ms: number): void {
  const { nodesTickMs } = COORDINATOR_DEFAULTS
  for (const until = w.now + ms; w.now < until;) {
    w.now += nodesTickMs
    if (w.now % BEAT_MS === 0) for (const node of w.revs.keys()) beat(w, node)
    step(w, { kind: 'nodes-tick' })
    pump(w)
  }
}

export type GrowthFleet = ReturnType<typeof growthFleet>

export function growthFleet(gpus: number) {
  const settings = COORDINATOR_DEFAULTS
  const w: World = {
    now: 1000,
    requests: 0,
    revs: new Map(),
    running: new Map(),
    gpus,
    longestMs: 0,
    todo: [],
    timers: heapOf((a, b) => a.at < b.at),
    state: newState({ settings, incarnation: INCARNATION, storeId: 'S', durable: emptyDurable() }),
  }
  step(w, { kind: 'led' })
  return {
    /** of the steps since it was asked last */
    longestMs(): number {
      const ms = w.longestMs
      w.longestMs = 0
      return ms
    },
    join(n: number, prefix = 'n'): void {
      for (let i = 0; i < n; i++) {
        w.revs.set(`${prefix}${i}`, 0)
        beat(w, `${prefix}${i}`)
        pump(w)
      }
    },
    launch(name: string, roles: Record<string, unknown>): void {
      const body = { apiVersion: 'troupe/v1', name, roles }
      step(w, { kind: 'request', id: ++w.requests, verb: 'launch', user: 'me', key: name, body } as Fact)
      pump(w)
    },
    /** everything that runs now ends well, one after the other */
    endAll(): void {
      const ends = [...w.running.values()]
      w.running.clear()
      for (const { node, report } of ends) end(w, node, report)
      // what waits for an entry to share
      w.now += settings.lazyPersistMs
      pump(w)
    },
    pass: (ms: number) => pass(w, ms),
    /** workers that run now */
    live: () => w.running.size,
    ended: () => [...w.state.runs.values()].filter((run) => isTerminal(run.record.state)).length,
  }
}

function ended(report: ForkReport): ForkReport {
  const exit = { code: 0, signal: null, oom: null, unknown: null, killedBy: null }
  const receipt = { outcome: 'gone' as const, survivors: [], reason: null, ms: 1 }
  return { ...report, phase: 'gone', ready: false, exit, receipt, logsFinal: {} }
}

function capacityOf(node: string, gpus: number) {
  return {
    hostname: node,
    cpus: 64,
    memoryBytes: 64 * GIB,
    gpus: Array.from({ length: gpus }, (_, i) => ({
      id: `GPU-${i}`,
      name: 'fake',
      memoryBytes: null,
      uuid: `${node}-${i}`,
    })),
    host: node,
    interfaces: {},
    version: '0',
  }
}

function reportOf(forkId: string, phase: ForkReport['phase']): ForkReport {
  return { ...blankReport(forkId, phase), host: 'h', preparedAt: WALL }
}
