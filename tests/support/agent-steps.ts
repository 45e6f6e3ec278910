/**
 * Steps the node agent's decisions by hand: an agent that has joined, orders with good headers, and the
 * host's answers as one line each.
 */
import { stepAgent } from '../../src/core/agent/step.ts'
import {
  AGENT_DEFAULTS,
  newAgent,
  type AgentCommand,
  type AgentEvent,
  type AgentSettings,
  type AgentState,
  type Order,
} from '../../src/core/agent/agent-state.ts'
import { byUser, type Cause } from '../../src/protocol/causes.ts'
import type { Recovered } from '../../src/protocol/host.ts'
import { parseForkId } from '../../src/protocol/names.ts'
import type { ForkSpec } from '../../src/protocol/launch/resolved.ts'
import type { Epoch, ForkReport, NodeCapacity } from '../../src/protocol/shapes.ts'
import { bindingsOf, forkSpec, preparedFork } from './fork-spec.ts'

export const INCARNATION = '01ARZ3NDEKTSV4RRFFQ69G5FAV'
export const EPOCH: Epoch = { storeId: 'S1', n: 3 }
export const CAPACITY: NodeCapacity = {
  hostname: 'h',
  cpus: 4,
  memoryBytes: 8e9,
  gpus: [],
  host: '10.0.0.7',
  interfaces: {},
  version: 'test',
}
export const FORK = 'run-1.trainer.0.1'

type Commands = readonly AgentCommand[]
export function typesOf(commands: Commands): string[] {
  return commands.map((command) => (command.type === 'fact' ? `fact ${command.what}` : command.type))
}
export function only<T extends AgentCommand['type']>(
  commands: Commands,
  type: T,
): Extract<AgentCommand, { type: T }>[] {
  return commands.filter((command): command is Extract<AgentCommand, { type: T }> => command.type === type)
}

export function specOf(forkId: string, changes: Partial<ForkSpec> = {}): ForkSpec {
  return { ...forkSpec(), forkId, ...parseForkId(forkId)!, ...changes }
}

export interface ScriptOptions {
  recovered?: Recovered[]
  epoch?: Epoch | null
  tail?: Epoch | null
  settings?: Partial<AgentSettings>
  join?: boolean
}

export interface Script {
  readonly state: AgentState
  at: number
  step(event: AgentEvent): Commands
  order(request: Order, options?: { epoch?: Epoch | null; notAfter?: number | null }): Commands
  /** reply to the last order, or the fault's code */
  replyIn(commands: Commands): { forks: ForkReport[]; token?: string } | string | undefined
  prepare(...specs: ForkSpec[]): string
  start(token: string, ...forkIds: string[]): Commands
  started(forkId: string, pid?: number | null): Commands
  exited(forkId: string, exit?: { code?: number | null; signal?: string | null }): Commands
  empty(forkId: string): Commands
  /** prepared, started and acknowledged */
  running(spec?: ForkSpec): void
  kill(forkId: string, changes?: { signal?: string | null; graceMs?: number; killedBy?: Cause }): Commands
  ack(forkId: string, ...whats: ForkFact[]): Commands
}
type ForkFact = Extract<AgentEvent, { type: 'fact-acked' }>['what']

/** The events by which an agent comes up, and joins unless the test does not want that. */
function beginning({ recovered = [], epoch = null, tail = EPOCH, join = true }: ScriptOptions): AgentEvent[] {
  const up: AgentEvent = { type: 'recovered', forks: recovered, capacity: CAPACITY, epoch, at: 0 }
  return join ? [up, { type: 'tail', epoch: tail, seq: 5, at: 0 }] : [up]
}

function preparedEvent(token: string, specs: readonly ForkSpec[], at: number): AgentEvent {
  const forkIds = specs.map((spec) => spec.forkId)
  return { type: 'prepared', token, forkIds, leases: specs.map(() => preparedFork()), fault: null, at }
}

function exitedEvent(
  forkId: string,
  { code = null, signal = null }: { code?: number | null; signal?: string | null },
  at: number,
): AgentEvent {
  const exit = { code, signal, oom: false, unknown: null }
  const words = { stderrTail: ['last words'], errorFile: null }
  return { type: 'host', at, event: { what: 'exited', forkId, exit, exitedAt: 2, ...words } }
}

export function agentScript(options: ScriptOptions = {}): Script & { first: Commands } {
  let state = newAgent({
    node: 'n0',
    incarnation: INCARNATION,
    pid: 77,
    settings: { ...AGENT_DEFAULTS, ...options.settings },
  })
  let orders = 0
  const step = (event: AgentEvent): Commands => {
    const [next, commands] = stepAgent(state, event)
    state = next
    return commands
  }
  const first = beginning(options).flatMap(step)

  const script: Script & { first: Commands } = {
    first,
    get state() {
      return state
    },
    at: 1000,
    step,
    order: (request, { epoch = EPOCH, notAfter = script.at + 100 } = {}) =>
      step({ type: 'order', order: ++orders, request, epoch, notAfter, at: script.at }),
    replyIn(commands) {
      const fault = only(commands, 'fault')[0]
      if (fault !== undefined) return fault.fault.code
      return only(commands, 'reply')[0]?.body as { forks: ForkReport[]; token?: string } | undefined
    },
    prepare(...specs) {
      const [command] = only(
        script.order({ verb: 'prepare', body: { forks: specs, lapseMs: 30_000 } }),
        'prepare',
      )
      step(preparedEvent(command!.token, specs, script.at))
      return command!.token
    },
    start: (token, ...forkIds) =>
      script.order({
        verb: 'start',
        body: { token, forks: forkIds.map((forkId) => ({ forkId, bindings: bindingsOf() })) },
      }),
    started: (forkId, pid = 4242) =>
      step({ type: 'started', forkId, start: { pid, startedAt: 1 }, fault: null, at: script.at }),
    exited: (forkId, exit = {}) => step(exitedEvent(forkId, exit, script.at)),
    empty: (forkId) => {
      const receipt = { outcome: 'gone' as const, survivors: [], reason: null }
      return step({ type: 'host', at: script.at, event: { what: 'empty', forkId, receipt } })
    },
    running(spec = specOf(FORK)) {
      const token = script.prepare(spec)
      script.start(token, spec.forkId)
      script.started(spec.forkId)
      script.ack(spec.forkId, 'started')
    },
    kill: (forkId, { signal = 'SIGTERM', graceMs = 1000, killedBy = byUser('me') } = {}) =>
      script.order({ verb: 'kill', body: { forks: [{ forkId, signal, graceMs, killedBy }] } }),
    ack: (forkId, ...whats) => whats.flatMap((what) => step({ type: 'fact-acked', forkId, what })),
  }
  return script
}

export function recoveredFork(changes: Partial<Recovered> = {}): Recovered {
  return {
    spec: specOf(FORK),
    phase: 'running',
    prepared: preparedFork(),
    started: { pid: 4242, startedAt: 1 },
    exit: null,
    stderrTail: [],
    errorFile: null,
    receipt: null,
    ranks: [],
    notes: {},
    logsFinal: null,
    ...changes,
  }
}
