/**
 * The coordinator's step with agents that answer at once: tables over whole stories, without a bus, a clock
 * or a promise. An agent here does what it is told; a test holds, refuses or silences it, and says how its
 * processes end.
 */
import { inspect, isDeepStrictEqual } from 'node:util'
import { foldOp, emptyDurable, type Durable } from '../../src/core/coordinator/fold.ts'
import type { CoordinatorCommand, Fact, OrderOf, Publication } from '../../src/core/coordinator/messages.ts'
import { placeOf } from '../../src/core/coordinator/node-usage.ts'
import { COORDINATOR_DEFAULTS, type CoordinatorSettings } from '../../src/core/coordinator/settings.ts'
import { contextOf, newState } from '../../src/core/coordinator/new-state.ts'
import type { CoordinatorState } from '../../src/core/coordinator/types.ts'
import { stepCoordinator } from '../../src/core/coordinator/step.ts'
import type { Cause } from '../../src/protocol/causes.ts'
import { Fault, type FaultBody } from '../../src/protocol/faults.ts'
import { parseForkId } from '../../src/protocol/names.ts'
import { fillPage } from '../../src/protocol/pages.ts'
import type { ForkSpec } from '../../src/protocol/launch/resolved.ts'
import type { Exit, ForkReport, NodeCapacity, RankReport, RunStatus } from '../../src/protocol/shapes.ts'
import type { OrderVerb, ReplyOf, RequestVerb } from '../../src/protocol/table.ts'
import { ulid } from '../../src/system/ulid.ts'

export interface FakeFork {
  report: ForkReport
  spec: ForkSpec | null
}

export interface FakeAgent {
  node: string
  incarnation: string
  alive: boolean
  forks: Map<string, FakeFork>
  rev: number
  /** forks on a page of its inventory */
  pageCount: number
  capacity: NodeCapacity
  /** its wall clock less ours, ms */
  skewMs: number
  /** answers to come, by verb: a fault, or nothing at all for a while */
  refuse: Map<OrderVerb, FaultBody[]>
  /** ids that the spool refuses for ever */
  tombstones: Set<string>
  hold: Set<OrderVerb>
  held: OrderOf[]
}

export interface NodeOptions {
  cpus?: number
  gpus?: number
  /** names the devices: nodes with the same prefix are agents of one machine */
  machine?: string
  memoryBytes?: number
  skewMs?: number
}

const WALL = 1_700_000_000_000
const GIB = 1024 ** 3
export function exitOf(exit: Partial<Exit>): Exit {
  return { code: null, signal: null, oom: null, unknown: null, killedBy: null, ...exit }
}

export function blankReport(forkId: string): ForkReport {
  return {
    forkId,
    ...parseForkId(forkId)!,
    phase: 'prepared',
    pid: null,
    host: null,
    addr: null,
    ports: [],
    rendezvousPort: null,
    gpus: [],
    cores: [],
    preparedAt: null,
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

/** Every place that is kept says what its node is like now, unless it is to be made anew. */
function arePlacesKept(s: CoordinatorState, now: number): void {
  const ctx = contextOf(s, { now, wall: WALL + now })
  for (const node of s.nodes.values()) {
    if (s.stalePlaces.has(node)) continue
    const [kept, made] = [s.places.byName.get(node.name) ?? null, placeOf(ctx, node)]
    // it is noticed with the next look that its time is over
    const avoid = kept?.avoid ?? false
    if (!isDeepStrictEqual(kept, made === null ? null : { ...made, avoid }))
      throw new Error(`the place of ${node.name} was not changed: ${inspect({ kept, made })}`)
  }
}

export type Story = ReturnType<typeof coordinatorWith>

export function coordinatorWith(
  nodes: Record<string, NodeOptions> = { n0: {} },
  settings: Partial<CoordinatorSettings> = {},
) {
  let now = 1000
  let births = 0
  let pids = 100
  let requests = 0
  let durable: Durable = emptyDurable()
  let state!: CoordinatorState
  const agents = new Map<string, FakeAgent>()
  /** everything the coordinator commanded, in order */
  let commands: CoordinatorCommand[] = []
  /** the same, by step */
  let steps: (readonly CoordinatorCommand[])[] = []
  const answers = new Map<number, { body?: unknown; fault?: FaultBody }>()
  let timers: { at: number; fact: Fact }[] = []
  const todo: OrderOf[] = []

  const wall = (): number => WALL + now
  const wallOf = (agent: FakeAgent): number => wall() + agent.skewMs

  const step = (fact: Fact): CoordinatorCommand[] => {
    const [next, out] = stepCoordinator(state, { ...fact, now, wall: wall() })
    state = next
    commands.push(...out)
    steps.push(out)
    if (state.nodes.size <= 20) arePlacesKept(state, now)
    for (const command of out) {
      // what follows a persist rests on it: here it is acknowledged at once
      if (command.kind === 'persist') for (const op of structuredClone(command.ops)) foldOp(durable, op)
      if (command.kind === 'timer')
        timers.push({ at: command.at, fact: { kind: 'timer', timer: command.timer } })
      if (command.kind === 'reply' || command.kind === 'reply-plan')
        answers.set(command.request, { body: command.body })
      if (command.kind === 'reply-from-archive')
        answers.set(
          command.request,
          command.verb === 'list'
            ? { body: { runs: command.runs, partial: null, next: null } }
            : { fault: command.fault },
        )
      if (command.kind === 'refuse') answers.set(command.request, { fault: command.fault })
      if (command.kind === 'order') todo.push(command.order)
    }
    return [...out]
  }

  // — agents —

  const reportOf = (agent: FakeAgent, forkId: string): ForkReport =>
    agent.forks.get(forkId)?.report ?? { ...blankReport(forkId), phase: 'cancelled' }

  const tell = (agent: FakeAgent, forkId: string): void =>
    void (
      agent.alive &&
      step({
        kind: 'report',
        node: agent.node,
        incarnation: agent.incarnation,
        rev: ++agent.rev,
        report: structuredClone(reportOf(agent, forkId)),
      })
    )

  const setReport = (agent: FakeAgent, forkId: string, fields: Partial<ForkReport>): void => {
    const fork = agent.forks.get(forkId)
    if (fork === undefined) throw new Error(`${agent.node} has no fork ${forkId}`)
    fork.report = { ...fork.report, ...fields }
  }

  const kill = (agent: FakeAgent, forkId: string, killedBy: Cause, signal: string): void => {
    const fork = agent.forks.get(forkId)
    if (fork === undefined || fork.report.phase === 'prepared') agent.tombstones.add(forkId)
    if (fork === undefined)
      return void agent.forks.set(forkId, {
        report: { ...blankReport(forkId), phase: 'cancelled' },
        spec: null,
      })
    if (fork.report.phase === 'prepared') return setReport(agent, forkId, { phase: 'cancelled' })
    if (fork.report.phase === 'gone' || fork.report.phase === 'cancelled') return
    setReport(agent, forkId, {
      phase: 'gone',
      ready: false,
      exit: fork.report.exit ?? exitOf({ signal, killedBy }),
      exitedAt: fork.report.exitedAt ?? wallOf(agent),
      receipt: { outcome: 'gone', survivors: [], reason: null, ms: 5 },
      logsFinal: {},
    })
  }

  const obey = (agent: FakeAgent, order: OrderOf): unknown => {
    switch (order.verb) {
      case 'prepare':
        for (const spec of order.body.forks) {
          if (agent.forks.has(spec.forkId)) continue
          const ports = Array.from(
            { length: spec.resources.ports },
            (_, i) => 20_000 + agents.size * 1000 + births + i,
          )
          births += 10
          agent.forks.set(spec.forkId, {
            spec,
            report: {
              ...blankReport(spec.forkId),
              host: agent.node,
              ports,
              addr: ports.length > 0 ? `${agent.node}:${ports[0]}` : null,
              rendezvousPort: spec.torchrun?.hostsRendezvous ? 29_000 + births : null,
              preparedAt: wallOf(agent),
            },
          })
        }
        return { token: `t${order.id}`, forks: order.body.forks.map(({ forkId }) => reportOf(agent, forkId)) }
      case 'start':
        for (const { forkId } of order.body.forks) {
          if (agent.forks.get(forkId)?.report.phase === 'prepared')
            setReport(agent, forkId, {
              phase: 'running',
              pid: ++pids,
              startedAt: wallOf(agent),
              ready: agent.forks.get(forkId)!.spec!.ready === null,
            })
        }
        return { forks: order.body.forks.map(({ forkId }) => reportOf(agent, forkId)) }
      case 'kill':
        for (const { forkId, signal, killedBy } of order.body.forks)
          kill(agent, forkId, killedBy, signal ?? 'SIGKILL')
        return { forks: order.body.forks.map(({ forkId }) => reportOf(agent, forkId)) }
      case 'cancel':
        for (const forkId of order.body.forks) kill(agent, forkId, order.body.killedBy, 'SIGKILL')
        return { forks: order.body.forks.map((forkId) => reportOf(agent, forkId)) }
      case 'release':
        for (const forkId of order.body.forks) agent.forks.delete(forkId)
        return {}
      case 'inventory': {
        const reports = [...agent.forks.values()].map((fork) => fork.report)
        const { items, next } = fillPage(
          reports
            .filter((report) => report.forkId >= (order.body.from ?? ''))
            .toSorted((a, b) => (a.forkId < b.forkId ? -1 : 1)),
          (report) => report,
          { count: agent.pageCount },
        )
        return {
          rev: agent.rev,
          pid: 1,
          capacity: agent.capacity,
          forks: items,
          epoch: null,
          next: next?.forkId ?? null,
        } satisfies ReplyOf<'node.inventory'>
      }
      case 'signal':
      case 'adopt':
        return {}
      default:
        return order satisfies never
    }
  }

  const result = (id: number, reply: unknown, fault: FaultBody | null): void =>
    void step({
      kind: 'order-result',
      id,
      sentWall: wall(),
      gotWall: wall(),
      reply: structuredClone(reply) as never,
      fault,
    })

  const answer = (order: OrderOf): void => {
    const agent = agents.get(order.node)
    if (agent === undefined || !agent.alive || agent.incarnation !== order.incarnation)
      return result(order.id, null, new Fault('CONN', 'no responders').toBody())
    if (agent.hold.has(order.verb)) return void agent.held.push(order)
    const fault = agent.refuse.get(order.verb)?.shift()
    if (fault !== undefined) return result(order.id, null, fault)
    if (order.verb === 'prepare' && order.body.forks.some(({ forkId }) => agent.tombstones.has(forkId)))
      return result(order.id, null, new Fault('CANCELLED', 'it was cancelled').toBody())
    result(order.id, obey(agent, order), null)
  }

  /** until no order is left unanswered, and nothing for a next step */
  const pump = (): void => {
    for (let i = 0; todo.length > 0 || state.goingOn; i++) {
      if (i > 10_000) throw new Error('orders without end')
      if (state.goingOn) rest()
      const order = todo.shift()
      if (order !== undefined) answer(order)
    }
  }

  /** the step that goes on with what one has left */
  const rest = (): void => {
    timers = timers.filter(({ fact }) => !(fact.kind === 'timer' && fact.timer.of === 'rest'))
    step({ kind: 'timer', timer: { of: 'rest' } })
  }

  const beat = (agent: FakeAgent): void => {
    if (agent.alive)
      step({
        kind: 'beat',
        node: agent.node,
        incarnation: agent.incarnation,
        tick: now,
        rev: agent.rev,
        loopLagMs: 0,
        storeRefused: false,
        leaving: false,
        draining: false,
      })
  }

  const addNode = (
    node: string,
    { cpus = 8, gpus = 0, memoryBytes = 16 * GIB, skewMs = 0, machine }: NodeOptions = {},
  ): FakeAgent => {
    const agent: FakeAgent = {
      node,
      incarnation: ulid(now + ++births, new Uint8Array(10)),
      alive: true,
      forks: new Map(),
      rev: 0,
      pageCount: Infinity,
      skewMs,
      refuse: new Map(),
      tombstones: new Set(),
      hold: new Set(),
      held: [],
      capacity: {
        hostname: node,
        cpus,
        memoryBytes,
        gpus: Array.from({ length: gpus }, (_, i) => ({
          id: `GPU-${i}`,
          name: 'fake',
          memoryBytes: null,
          ...(machine !== undefined && { uuid: `${machine}-${i}` }),
        })),
        host: node,
        interfaces: {},
        version: '0',
      },
    }
    agents.set(node, agent)
    beat(agent)
    pump()
    return agent
  }

  /** a new leader over what was written; what the old one knew besides is gone */
  const failover = (): void => {
    const reread = emptyDurable()
    Object.assign(reread, structuredClone(durable))
    durable = reread
    timers = []
    todo.length = 0
    state = newState({
      settings: { ...COORDINATOR_DEFAULTS, ...settings },
      incarnation: ulid(now + ++births, new Uint8Array(10)),
      storeId: 'STORE',
      durable: structuredClone(durable),
    })
    step({ kind: 'led' })
  }

  failover()
  for (const [node, options] of Object.entries(nodes)) addNode(node, options)

  const agentOf = (node: string): FakeAgent => agents.get(node)!
  const ask = (
    verb: RequestVerb,
    body: unknown,
    { user = 'me', key = null as string | null } = {},
  ): { body?: any; fault?: FaultBody } => {
    const id = ++requests
    step({ kind: 'request', id, verb, user, key, body } as Fact)
    pump()
    return answers.get(id) ?? {}
  }
  /** all pages of it */
  const statusOf = (run: string): RunStatus => {
    const whole = ask('status', { run }).body as RunStatus & { next: string | null }
    for (let next = whole.next; next !== null;) {
      const page = ask('status', { run, from: next }).body as RunStatus & { next: string | null }
      whole.workers.push(...page.workers)
      next = page.next
    }
    return { ...whole, next: null } as RunStatus
  }
  const workerOf = (run: string, worker: string): RunStatus['workers'][number] =>
    statusOf(run).workers.find((one) => `${one.role}/${one.index}` === worker)!

  return {
    agents,
    addNode,
    beat: (node: string) => {
      beat(agentOf(node))
      pump()
    },
    step,
    pump,
    failover: () => {
      failover()
      for (const agent of agents.values()) beat(agent)
      pump()
    },
    /** a new leader that has heard nobody yet */
    failoverUnheard: failover,
    ask,
    status: statusOf,
    worker: workerOf,
    get state() {
      return state
    },
    get durable() {
      return durable
    },
    get commands() {
      return commands
    },
    get steps() {
      return steps
    },
    forget: () => void ([commands, steps] = [[], []]),
    orders: <V extends OrderVerb = OrderVerb>(verb?: V): OrderOf<V>[] =>
      commands.flatMap((command) =>
        command.kind === 'order' && (verb === undefined || command.order.verb === verb)
          ? [command.order as OrderOf<V>]
          : [],
      ),
    events: (what?: string) =>
      commands.filter(
        (command): command is Publication =>
          command.kind === 'publish' && (what === undefined || command.body.what === what),
      ),
    /** @returns the run's id */
    launch(document: Record<string, unknown>, options: { key?: string; user?: string } = {}): string {
      const { body, fault } = ask(
        'launch',
        { apiVersion: 'troupe/v1', name: 'job', ...document },
        { user: options.user ?? 'me', key: options.key ?? null },
      )
      if (fault !== undefined) throw Fault.fromBody(fault)
      return (body as { run: string }).run
    },
    /** the root of a worker ends by itself; with `tree` something of it is left until `emptied` */
    exit(
      run: string,
      worker: string,
      exit: Partial<Exit>,
      more: { stderrTail?: string[]; ranks?: RankReport[]; tree?: boolean; exitedAt?: number } = {},
    ): void {
      const { node, forkId } = workerOf(run, worker)
      const agent = agentOf(node!)
      setReport(agent, forkId, {
        phase: 'exited',
        ready: false,
        exit: exitOf(exit),
        exitedAt: more.exitedAt ?? wallOf(agent),
        stderrTail: more.stderrTail ?? [],
        ...(more.ranks !== undefined && { ranks: more.ranks }),
      })
      tell(agent, forkId)
      // an order to kill may have emptied it meanwhile
      if (more.tree !== true) this.emptied(node!, forkId)
      pump()
    },
    emptied(node: string, forkId: string): void {
      const agent = agentOf(node)
      if (!agent.forks.has(forkId) || agent.forks.get(forkId)!.report.phase === 'gone') return
      setReport(agent, forkId, {
        phase: 'gone',
        receipt: { outcome: 'gone', survivors: [], reason: null, ms: 1 },
        logsFinal: {},
      })
      tell(agent, forkId)
      pump()
    },
    report(run: string, worker: string, fields: Partial<ForkReport>): void {
      const { node, forkId } = workerOf(run, worker)
      setReport(agentOf(node!), forkId, fields)
      tell(agentOf(node!), forkId)
      pump()
    },
    ready(run: string, worker: string, ready = true): void {
      this.report(run, worker, { ready, readyReason: ready ? null : 'HTTP 503' })
    },
    /** time passes: beats, ticks and timers happen in it */
    advance(ms: number): void {
      const until = now + ms
      while (now < until) {
        const next = Math.min(
          until,
          Math.floor(now / 250) * 250 + 250,
          ...timers.map(({ at }) => Math.max(at, now)),
        )
        now = next
        const due = timers.filter(({ at }) => at <= now)
        timers = timers.filter(({ at }) => at > now)
        for (const { fact } of due) step(fact)
        if (now % 250 === 0) {
          if (now % 500 === 0) for (const agent of agents.values()) beat(agent)
          step({ kind: 'nodes-tick' })
        }
        pump()
      }
    },
    silence: (node: string) => void (agentOf(node).alive = false),
    /** the agent is there again with what its spool knows */
    restart(node: string, { sameIncarnation = false } = {}): void {
      const agent = agentOf(node)
      agent.alive = true
      agent.held = []
      if (!sameIncarnation) {
        agent.incarnation = ulid(now + ++births, new Uint8Array(10))
        agent.rev = 0
      }
      beat(agent)
      pump()
    },
    letGo(node: string): void {
      const agent = agentOf(node)
      agent.hold.clear()
      for (const order of agent.held.splice(0)) answer(order)
      pump()
    },
    /** the oldest order that a node holds is answered, or fails */
    answerHeld(node: string): void {
      const order = agentOf(node).held.shift()!
      result(order.id, obey(agentOf(node), order), null)
      pump()
    },
    failHeld(node: string, failure: FaultBody): void {
      result(agentOf(node).held.shift()!.id, null, failure)
      pump()
    },
    now: () => now,
    wall,
  }
}

export function fault(code: ConstructorParameters<typeof Fault>[0], message: string = code): FaultBody {
  return new Fault(code, message).toBody()
}

export function rankOf(
  rank: number,
  exit: Partial<Exit> | null,
  exitedAt: number | null = null,
  restart = 0,
): RankReport {
  return {
    rank,
    localRank: rank % 2,
    restart,
    pid: 1000 + rank,
    state: exit === null ? 'running' : 'exited',
    exit: exit === null ? null : exitOf(exit),
    startedAt: WALL,
    exitedAt,
  }
}

export function task(more: Record<string, unknown> = {}): Record<string, unknown> {
  return { kind: 'task', command: ['true'], ...more }
}
export function service(more: Record<string, unknown> = {}): Record<string, unknown> {
  return { kind: 'service', command: ['serve'], ...more }
}
export function torchrun(shape: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { kind: 'torchrun', shape, command: ['train.py'], ...more }
}
