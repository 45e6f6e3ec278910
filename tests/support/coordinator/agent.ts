/**
 * Agents of the coordinator's stories: each does at once what it is told, and remembers its forks. A test
 * holds, refuses or silences it.
 */
import { blankReport } from '../../../src/protocol/blank-report.ts'
import type { OrderOf } from '../../../src/core/coordinator/messages.ts'
import type { Cause } from '../../../src/protocol/causes.ts'
import type { FaultBody } from '../../../src/protocol/faults.ts'
import type { ForkSpec } from '../../../src/protocol/launch/resolved.ts'
import { fillPage } from '../../../src/protocol/pages.ts'
import type { ForkReport, NodeCapacity } from '../../../src/protocol/shapes.ts'
import type { OrderVerb, ReplyOf } from '../../../src/protocol/table.ts'
import { exitOf } from './reports.ts'

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
  gpuTrouble?: string
  memoryBytes?: number
  skewMs?: number
  /** host name of its machine; default: as the node */
  host?: string
  /** for its peers; default: as the node */
  address?: string
  interfaces?: NodeCapacity['interfaces']
}

/** What agents have in common: the time, and numbers that are given out once. */
export interface AgentWorld {
  readonly agents: Map<string, FakeAgent>
  births: number
  pids: number
  wall(): number
}

const GIB = 1024 ** 3

export function newAgent(incarnation: string, node: string, options: NodeOptions): FakeAgent {
  const { cpus = 8, gpus = 0, memoryBytes = 16 * GIB, skewMs = 0, machine, gpuTrouble } = options
  const { host = node, address = node, interfaces = {} } = options
  return {
    node,
    incarnation,
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
      hostname: host,
      cpus,
      memoryBytes,
      gpus: Array.from({ length: gpus }, (_, i) => ({
        id: `GPU-${i}`,
        name: 'fake',
        memoryBytes: null,
        ...(machine !== undefined && { uuid: `${machine}-${i}` }),
      })),
      ...(gpuTrouble !== undefined && { gpuTrouble }),
      host: address,
      interfaces,
      version: '0',
    },
  }
}

export function wallOf(world: AgentWorld, agent: FakeAgent): number {
  return world.wall() + agent.skewMs
}

export function reportOf(agent: FakeAgent, forkId: string): ForkReport {
  return agent.forks.get(forkId)?.report ?? blankReport(forkId, 'cancelled')
}

export function setReport(agent: FakeAgent, forkId: string, fields: Partial<ForkReport>): void {
  const fork = agent.forks.get(forkId)
  if (fork === undefined) throw new Error(`${agent.node} has no fork ${forkId}`)
  fork.report = { ...fork.report, ...fields }
}

function kill(world: AgentWorld, agent: FakeAgent, forkId: string, killedBy: Cause, signal: string): void {
  const fork = agent.forks.get(forkId)
  if (fork === undefined || fork.report.phase === 'prepared') agent.tombstones.add(forkId)
  if (fork === undefined)
    return void agent.forks.set(forkId, {
      report: blankReport(forkId, 'cancelled'),
      spec: null,
    })
  if (fork.report.phase === 'prepared') return setReport(agent, forkId, { phase: 'cancelled' })
  if (fork.report.phase === 'gone' || fork.report.phase === 'cancelled') return
  setReport(agent, forkId, {
    phase: 'gone',
    ready: false,
    exit: fork.report.exit ?? exitOf({ signal, killedBy }),
    exitedAt: fork.report.exitedAt ?? wallOf(world, agent),
    receipt: { outcome: 'gone', survivors: [], reason: null, ms: 5 },
    logsFinal: {},
  })
}

function prepare(world: AgentWorld, agent: FakeAgent, spec: ForkSpec): void {
  if (agent.forks.has(spec.forkId)) return
  const ports = Array.from(
    { length: spec.resources.ports },
    (_, i) => 20_000 + world.agents.size * 1000 + world.births + i,
  )
  world.births += 10
  agent.forks.set(spec.forkId, {
    spec,
    report: {
      ...blankReport(spec.forkId, 'prepared'),
      host: agent.node,
      ports,
      addr: ports.length > 0 ? `${agent.node}:${ports[0]}` : null,
      rendezvousPort: spec.torchrun?.hostsRendezvous ? 29_000 + world.births : null,
      preparedAt: wallOf(world, agent),
    },
  })
}

function inventoryOf(agent: FakeAgent, from: string | undefined): ReplyOf<'node.inventory'> {
  const reports = [...agent.forks.values()].map((fork) => fork.report)
  const { items, next } = fillPage(
    reports
      .filter((report) => report.forkId >= (from ?? ''))
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
  }
}

export function obey(world: AgentWorld, agent: FakeAgent, order: OrderOf): unknown {
  switch (order.verb) {
    case 'prepare':
      for (const spec of order.body.forks) prepare(world, agent, spec)
      return { token: `t${order.id}`, forks: order.body.forks.map(({ forkId }) => reportOf(agent, forkId)) }
    case 'start':
      for (const { forkId } of order.body.forks) {
        if (agent.forks.get(forkId)?.report.phase === 'prepared')
          setReport(agent, forkId, {
            phase: 'running',
            pid: ++world.pids,
            startedAt: wallOf(world, agent),
            ready: agent.forks.get(forkId)!.spec!.ready === null,
          })
      }
      return { forks: order.body.forks.map(({ forkId }) => reportOf(agent, forkId)) }
    case 'kill':
      for (const { forkId, signal, killedBy } of order.body.forks)
        kill(world, agent, forkId, killedBy, signal ?? 'SIGKILL')
      return { forks: order.body.forks.map(({ forkId }) => reportOf(agent, forkId)) }
    case 'cancel':
      for (const forkId of order.body.forks) kill(world, agent, forkId, order.body.killedBy, 'SIGKILL')
      return { forks: order.body.forks.map((forkId) => reportOf(agent, forkId)) }
    case 'release':
      for (const forkId of order.body.forks) agent.forks.delete(forkId)
      return {}
    case 'inventory':
      return inventoryOf(agent, order.body.from)
    case 'signal':
    case 'adopt':
      return {}
    default:
      return order satisfies never
  }
}
