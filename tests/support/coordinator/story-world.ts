/** A coordinator's step, its agents and the time between them: what a story is told with. */
import { inspect, isDeepStrictEqual } from 'node:util'
import { type Durable, emptyDurable, foldOp } from '../../../src/core/coordinator/fold.ts'
import type { CoordinatorCommand, Fact, OrderOf } from '../../../src/core/coordinator/messages.ts'
import { contextOf, newState } from '../../../src/core/coordinator/new-state.ts'
import { placeOf } from '../../../src/core/coordinator/node-usage.ts'
import { COORDINATOR_DEFAULTS, type CoordinatorSettings } from '../../../src/core/coordinator/settings.ts'
import { stepCoordinator } from '../../../src/core/coordinator/step.ts'
import type { CoordinatorState } from '../../../src/core/coordinator/types.ts'
import { Fault, type FaultBody } from '../../../src/protocol/faults.ts'
import type { RunStatus } from '../../../src/protocol/shapes.ts'
import type { RequestVerb } from '../../../src/protocol/table.ts'
import { ulid } from '../../../src/system/ulid.ts'
import { type AgentWorld, type FakeAgent, newAgent, type NodeOptions, obey, reportOf } from './agent.ts'
import { WALL } from './reports.ts'

export interface World extends AgentWorld {
  readonly settings: Partial<CoordinatorSettings>
  now: number
  requests: number
  durable: Durable
  state: CoordinatorState
  /** everything the coordinator commanded, in order */
  commands: CoordinatorCommand[]
  /** the same, by step */
  steps: (readonly CoordinatorCommand[])[]
  readonly answers: Map<number, { body?: unknown; fault?: FaultBody }>
  timers: { at: number; fact: Fact }[]
  readonly todo: OrderOf[]
}

export function newWorld(settings: Partial<CoordinatorSettings>): World {
  const world: World = {
    settings,
    agents: new Map(),
    births: 0,
    pids: 100,
    wall: () => WALL + world.now,
    now: 1000,
    requests: 0,
    durable: emptyDurable(),
    state: undefined as never,
    commands: [],
    steps: [],
    answers: new Map(),
    timers: [],
    todo: [],
  }
  return world
}

/** Every place that is kept says what its node is like now, unless it is to be made anew. */
function arePlacesKept({ state: s, now, wall }: World): void {
  const ctx = contextOf(s, { now, wall: wall() })
  for (const node of s.nodes.values()) {
    if (s.stalePlaces.has(node)) continue
    const [kept, made] = [s.places.byName.get(node.name) ?? null, placeOf(ctx, node)]
    // it is noticed with the next look that its time is over
    const avoid = kept?.avoid ?? false
    if (!isDeepStrictEqual(kept, made === null ? null : { ...made, avoid }))
      throw new Error(`the place of ${node.name} was not changed: ${inspect({ kept, made })}`)
  }
}

export function step(world: World, fact: Fact): CoordinatorCommand[] {
  const [next, out] = stepCoordinator(world.state, { ...fact, now: world.now, wall: world.wall() })
  world.state = next
  world.commands.push(...out)
  world.steps.push(out)
  if (world.state.nodes.size <= 20) arePlacesKept(world)
  for (const command of out) perform(world, command)
  return [...out]
}

function perform(world: World, command: CoordinatorCommand): void {
  const { answers } = world
  // what follows a persist rests on it: here it is acknowledged at once
  if (command.kind === 'persist') for (const op of structuredClone(command.ops)) foldOp(world.durable, op)
  if (command.kind === 'timer')
    world.timers.push({ at: command.at, fact: { kind: 'timer', timer: command.timer } })
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
  if (command.kind === 'order') world.todo.push(command.order)
}

export function tell(world: World, agent: FakeAgent, forkId: string): void {
  if (!agent.alive) return
  step(world, {
    kind: 'report',
    node: agent.node,
    incarnation: agent.incarnation,
    rev: ++agent.rev,
    report: structuredClone(reportOf(agent, forkId)),
  })
}

export function result(world: World, id: number, reply: unknown, fault: FaultBody | null): void {
  step(world, {
    kind: 'order-result',
    id,
    sentWall: world.wall(),
    gotWall: world.wall(),
    reply: structuredClone(reply) as never,
    fault,
  })
}

export function answer(world: World, order: OrderOf): void {
  const agent = world.agents.get(order.node)
  if (agent === undefined || !agent.alive || agent.incarnation !== order.incarnation)
    return result(world, order.id, null, new Fault('CONN', 'no responders').toBody())
  if (agent.hold.has(order.verb)) return void agent.held.push(order)
  const fault = agent.refuse.get(order.verb)?.shift()
  if (fault !== undefined) return result(world, order.id, null, fault)
  if (order.verb === 'prepare' && order.body.forks.some(({ forkId }) => agent.tombstones.has(forkId)))
    return result(world, order.id, null, new Fault('CANCELLED', 'it was cancelled').toBody())
  result(world, order.id, obey(world, agent, order), null)
}

/** until no order is left unanswered, and nothing for a next step */
export function pump(world: World): void {
  for (let i = 0; world.todo.length > 0 || world.state.goingOn; i++) {
    if (i > 10_000) throw new Error('orders without end')
    if (world.state.goingOn) rest(world)
    const order = world.todo.shift()
    if (order !== undefined) answer(world, order)
  }
}

/** the step that goes on with what one has left */
function rest(world: World): void {
  world.timers = world.timers.filter(({ fact }) => !(fact.kind === 'timer' && fact.timer.of === 'rest'))
  step(world, { kind: 'timer', timer: { of: 'rest' } })
}

export function beat(world: World, agent: FakeAgent): void {
  if (!agent.alive) return
  step(world, {
    kind: 'beat',
    node: agent.node,
    incarnation: agent.incarnation,
    tick: world.now,
    rev: agent.rev,
    loopLagMs: 0,
    storeRefused: false,
    leaving: false,
    draining: false,
  })
}

export function addNode(world: World, node: string, options: NodeOptions): FakeAgent {
  const agent = newAgent(ulid(world.now + ++world.births, new Uint8Array(10)), node, options)
  world.agents.set(node, agent)
  beat(world, agent)
  pump(world)
  return agent
}

/** a new leader over what was written; what the old one knew besides is gone */
export function failover(world: World): void {
  const reread = emptyDurable()
  Object.assign(reread, structuredClone(world.durable))
  world.durable = reread
  world.timers = []
  world.todo.length = 0
  world.state = newState({
    settings: { ...COORDINATOR_DEFAULTS, ...world.settings },
    incarnation: ulid(world.now + ++world.births, new Uint8Array(10)),
    storeId: 'STORE',
    durable: structuredClone(world.durable),
  })
  step(world, { kind: 'led' })
}

export function ask(
  world: World,
  verb: RequestVerb,
  body: unknown,
  { user = 'me', key = null as string | null, own = false } = {},
): { body?: any; fault?: FaultBody } {
  const id = ++world.requests
  step(world, { kind: 'request', id, verb, user, key, body, ...(own && { own }) } as Fact)
  pump(world)
  return world.answers.get(id) ?? {}
}

/** all pages of it */
export function statusOf(world: World, run: string): RunStatus {
  const whole = ask(world, 'status', { run }).body as RunStatus & { next: string | null }
  for (let next = whole.next; next !== null;) {
    const page = ask(world, 'status', { run, from: next }).body as RunStatus & { next: string | null }
    whole.workers.push(...page.workers)
    next = page.next
  }
  return { ...whole, next: null } as RunStatus
}

export function workerOf(world: World, run: string, worker: string): RunStatus['workers'][number] {
  return statusOf(world, run).workers.find((one) => `${one.role}/${one.index}` === worker)!
}

export function advance(world: World, ms: number): void {
  const until = world.now + ms
  while (world.now < until) {
    const { now, timers } = world
    const times = timers.map(({ at }) => Math.max(at, now))
    world.now = Math.min(until, Math.floor(now / 250) * 250 + 250, ...times)
    const due = timers.filter(({ at }) => at <= world.now)
    world.timers = timers.filter(({ at }) => at > world.now)
    for (const { fact } of due) step(world, fact)
    if (world.now % 250 === 0) {
      if (world.now % 500 === 0) for (const agent of world.agents.values()) beat(world, agent)
      step(world, { kind: 'nodes-tick' })
    }
    pump(world)
  }
}
