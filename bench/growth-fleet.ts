/**
 * The coordinator's step with agents that do at once what they are told: as little beside the step itself as
 * can be, so that its growth is what is measured.
 */
import { emptyDurable } from '../src/core/coordinator/fold.ts'
import type { CoordinatorCommand, Fact, OrderOf } from '../src/core/coordinator/messages.ts'
import { COORDINATOR_DEFAULTS } from '../src/core/coordinator/settings.ts'
import { newState } from '../src/core/coordinator/state.ts'
import { stepCoordinator } from '../src/core/coordinator/step.ts'
import { parseForkId } from '../src/protocol/names.ts'
import { isTerminal, type ForkReport } from '../src/protocol/shapes.ts'

const GIB = 1024 ** 3
const WALL = 1_700_000_000_000
const INCARNATION = '01ARZ3NDEKTSV4RRFFQ69G5FAV'
const BEAT_MS = 500

export type GrowthFleet = ReturnType<typeof growthFleet>

export function growthFleet(gpus: number) {
  let now = 1000
  let requests = 0
  const revs = new Map<string, number>()
  const running = new Map<string, { node: string; report: ForkReport }>()
  let longestMs = 0
  let todo: OrderOf[] = []
  let timers: { at: number; fact: Fact }[] = []
  const durable = emptyDurable()
  let state = newState({ settings: COORDINATOR_DEFAULTS, incarnation: INCARNATION, storeId: 'S', durable })

  const step = (fact: Fact): void => {
    const began = performance.now()
    const [next, out] = stepCoordinator(state, { ...fact, now, wall: WALL + now })
    longestMs = Math.max(longestMs, performance.now() - began)
    state = next
    for (const command of out) take(command)
  }

  const take = (command: CoordinatorCommand): void => {
    if (command.kind === 'order') todo.push(command.order)
    else if (command.kind === 'timer')
      timers.push({ at: command.at, fact: { kind: 'timer', timer: command.timer } })
    else if (command.kind === 'refuse') throw new Error(command.fault.message)
  }

  const due = (): boolean => {
    const ready = timers.filter(({ at }) => at <= now)
    if (ready.length === 0) return false
    timers = timers.filter(({ at }) => at > now)
    for (const { fact } of ready) step(fact)
    return true
  }

  /** until no order is unanswered and nothing is left for a next step */
  const pump = (): void => {
    while (todo.length > 0 || due()) {
      const orders = todo
      todo = []
      for (const order of orders)
        step({
          kind: 'order-result',
          id: order.id,
          sentWall: WALL + now,
          gotWall: WALL + now,
          reply: reply(order),
          fault: null,
        } as Fact)
    }
  }

  const reply = (order: OrderOf): unknown => {
    switch (order.verb) {
      case 'inventory':
        return {
          rev: revs.get(order.node),
          pid: 1,
          capacity: capacityOf(order.node, gpus),
          forks: [],
          epoch: null,
        }
      case 'prepare':
        return {
          token: `t${order.id}`,
          forks: order.body.forks.map(({ forkId }) => reportOf(forkId, 'prepared')),
        }
      case 'start':
        return {
          forks: order.body.forks.map(({ forkId }) => {
            const report = { ...reportOf(forkId, 'running'), pid: 1, startedAt: WALL + now, ready: true }
            running.set(forkId, { node: order.node, report })
            return report
          }),
        }
      default:
        return { forks: [] }
    }
  }

  const beat = (node: string): void =>
    step({
      kind: 'beat',
      node,
      incarnation: INCARNATION,
      tick: now,
      rev: revs.get(node)!,
      loopLagMs: 0,
      storeRefused: false,
      leaving: false,
      draining: false,
    })

  step({ kind: 'led' })
  return {
    /** of the steps since it was asked last */
    longestMs(): number {
      const ms = longestMs
      longestMs = 0
      return ms
    },
    join(n: number, prefix = 'n'): void {
      for (let i = 0; i < n; i++) {
        revs.set(`${prefix}${i}`, 0)
        beat(`${prefix}${i}`)
        pump()
      }
    },
    launch(name: string, roles: Record<string, unknown>): void {
      const body = { apiVersion: 'troupe/v1', name, roles }
      step({ kind: 'request', id: ++requests, verb: 'launch', user: 'me', key: name, body } as Fact)
      pump()
    },
    /** everything that runs now ends well, one after the other */
    endAll(): void {
      const ends = [...running]
      running.clear()
      for (const [forkId, { node, report }] of ends) {
        const rev = revs.get(node)! + 1
        revs.set(node, rev)
        const exit = { code: 0, signal: null, oom: null, unknown: null, killedBy: null }
        const receipt = { outcome: 'gone' as const, survivors: [], reason: null, ms: 1 }
        step({
          kind: 'report',
          node,
          incarnation: INCARNATION,
          rev,
          report: {
            ...report,
            phase: 'gone',
            ready: false,
            exit,
            exitedAt: WALL + now,
            receipt,
            logsFinal: {},
            forkId,
          },
        })
        pump()
      }
      // what waits for an entry to share
      now += COORDINATOR_DEFAULTS.lazyPersistMs
      pump()
    },
    /** beats and ticks of so much time */
    pass(ms: number): void {
      const { nodesTickMs } = COORDINATOR_DEFAULTS
      for (const until = now + ms; now < until;) {
        now += nodesTickMs
        if (now % BEAT_MS === 0) for (const node of revs.keys()) beat(node)
        step({ kind: 'nodes-tick' })
        pump()
      }
    },
    /** workers that run now */
    live: () => running.size,
    ended: () => [...state.runs.values()].filter((run) => isTerminal(run.record.state)).length,
  }
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
  return {
    forkId,
    ...parseForkId(forkId)!,
    phase,
    pid: null,
    host: 'h',
    addr: null,
    ports: [],
    rendezvousPort: null,
    gpus: [],
    cores: [],
    preparedAt: WALL,
    startedAt: null,
    exitedAt: null,
    ready: false,
    readyReason: null,
    exit: null,
    receipt: null,
    stderrTail: [],
    errorFile: null,
    ranks: [],
    logsFinal: null,
    startFault: null,
  }
}
