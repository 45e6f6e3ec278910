/**
 * The coordinator's step with agents that answer at once: tables over whole stories, without a bus, a clock
 * or a promise. An agent here does what it is told; a test holds, refuses or silences it, and says how its
 * processes end.
 */
import type { OrderOf, Publication } from '../../src/core/coordinator/messages.ts'
import type { CoordinatorSettings } from '../../src/core/coordinator/settings.ts'
import { Fault, type FaultBody } from '../../src/protocol/faults.ts'
import type { Exit, ForkReport, RankReport } from '../../src/protocol/shapes.ts'
import type { OrderVerb } from '../../src/protocol/table.ts'
import { ulid } from '../../src/system/ulid.ts'
import { type FakeAgent, type NodeOptions, obey, setReport, wallOf } from './coordinator/agent.ts'
import { exitOf } from './coordinator/reports.ts'
import { addNode, advance, answer, ask, beat, failover, pump } from './coordinator/story-world.ts'
import { newWorld, result, statusOf, step, tell, type World, workerOf } from './coordinator/story-world.ts'

export type Story = ReturnType<typeof coordinatorWith>

export function coordinatorWith(
  nodes: Record<string, NodeOptions> = { n0: {} },
  settings: Partial<CoordinatorSettings> = {},
) {
  const world = newWorld(settings)
  failover(world)
  for (const [node, options] of Object.entries(nodes)) addNode(world, node, options)
  return {
    ...commandsOf(world),
    ...processesOf(world),
    ...agentsOf(world),
    agents: world.agents,
    addNode: (node: string, options: NodeOptions = {}) => addNode(world, node, options),
    step: (fact: Parameters<typeof step>[1]) => step(world, fact),
    pump: () => pump(world),
    failover: () => {
      failover(world)
      for (const agent of world.agents.values()) beat(world, agent)
      pump(world)
    },
    /** a new leader that has heard nobody yet */
    failoverUnheard: () => failover(world),
    ask: (...asked: Asked) => ask(world, ...asked),
    status: (run: string) => statusOf(world, run),
    worker: (run: string, worker: string) => workerOf(world, run, worker),
    /** @returns the run's id */
    launch: (...launched: Launched) => launch(world, ...launched),
    /** time passes: beats, ticks and timers happen in it */
    advance: (ms: number) => advance(world, ms),
    now: () => world.now,
    wall: () => world.wall(),
    get state() {
      return world.state
    },
    get durable() {
      return world.durable
    },
    get commands() {
      return world.commands
    },
    get steps() {
      return world.steps
    },
  }
}

type Asked = Parameters<typeof ask> extends [World, ...infer Rest] ? Rest : never
type Launched = [document: Record<string, unknown>, options?: { key?: string; user?: string }]

function launch(world: World, ...[document, options = {}]: Launched): string {
  const { body, fault } = ask(
    world,
    'launch',
    { apiVersion: 'troupe/v1', name: 'job', ...document },
    { user: options.user ?? 'me', key: options.key ?? null },
  )
  if (fault !== undefined) throw Fault.fromBody(fault)
  return (body as { run: string }).run
}

/** What the coordinator has commanded. */
function commandsOf(world: World) {
  return {
    forget: () => void ([world.commands, world.steps] = [[], []]),
    orders: <V extends OrderVerb = OrderVerb>(verb?: V): OrderOf<V>[] =>
      world.commands.flatMap((command) =>
        command.kind === 'order' && (verb === undefined || command.order.verb === verb)
          ? [command.order as OrderOf<V>]
          : [],
      ),
    events: (what?: string) =>
      world.commands.filter(
        (command): command is Publication =>
          command.kind === 'publish' && (what === undefined || command.body.what === what),
      ),
  }
}

/** What becomes of the processes of workers. */
function processesOf(world: World) {
  const emptied = (node: string, forkId: string): void => {
    const agent = world.agents.get(node)!
    if (!agent.forks.has(forkId) || agent.forks.get(forkId)!.report.phase === 'gone') return
    setReport(agent, forkId, {
      phase: 'gone',
      receipt: { outcome: 'gone', survivors: [], reason: null, ms: 1 },
      logsFinal: {},
    })
    tell(world, agent, forkId)
    pump(world)
  }
  const report = (run: string, worker: string, fields: Partial<ForkReport>): void => {
    const { node, forkId } = workerOf(world, run, worker)
    const agent = world.agents.get(node!)!
    setReport(agent, forkId, fields)
    tell(world, agent, forkId)
    pump(world)
  }
  return {
    emptied,
    report,
    /** the root of a worker ends by itself; with `tree` something of it is left until `emptied` */
    exit(
      run: string,
      worker: string,
      exit: Partial<Exit>,
      more: { stderrTail?: string[]; ranks?: RankReport[]; tree?: boolean; exitedAt?: number } = {},
    ): void {
      const { node, forkId } = workerOf(world, run, worker)
      const agent = world.agents.get(node!)!
      setReport(agent, forkId, {
        phase: 'exited',
        ready: false,
        exit: exitOf(exit),
        exitedAt: more.exitedAt ?? wallOf(world, agent),
        stderrTail: more.stderrTail ?? [],
        ...(more.ranks !== undefined && { ranks: more.ranks }),
      })
      tell(world, agent, forkId)
      // an order to kill may have emptied it meanwhile
      if (more.tree !== true) emptied(node!, forkId)
      pump(world)
    },
    ready: (run: string, worker: string, ready = true): void =>
      report(run, worker, { ready, readyReason: ready ? null : 'HTTP 503' }),
  }
}

/** What becomes of agents, and of the orders that they hold. */
function agentsOf(world: World) {
  const agentOf = (node: string): FakeAgent => world.agents.get(node)!
  return {
    beat: (node: string) => {
      beat(world, agentOf(node))
      pump(world)
    },
    silence: (node: string) => void (agentOf(node).alive = false),
    /** the agent is there again with what its spool knows */
    restart(node: string, { sameIncarnation = false } = {}): void {
      const agent = agentOf(node)
      agent.alive = true
      agent.held = []
      if (!sameIncarnation) {
        agent.incarnation = ulid(world.now + ++world.births, new Uint8Array(10))
        agent.rev = 0
      }
      beat(world, agent)
      pump(world)
    },
    letGo(node: string): void {
      const agent = agentOf(node)
      agent.hold.clear()
      for (const order of agent.held.splice(0)) answer(world, order)
      pump(world)
    },
    /** the oldest order that a node holds is answered, or fails */
    answerHeld(node: string): void {
      const order = agentOf(node).held.shift()!
      result(world, order.id, obey(world, agentOf(node), order), null)
      pump(world)
    },
    failHeld(node: string, failure: FaultBody): void {
      result(world, agentOf(node).held.shift()!.id, null, failure)
      pump(world)
    },
  }
}
