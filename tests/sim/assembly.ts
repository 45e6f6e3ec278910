/**
 * Where the real actors are put over simulated parts: one function per kind of process, and the times that a
 * simulation uses.
 */
import { startCoordinator as startRealCoordinator } from '../../src/actors/coordinator/coordinator.ts'
import { startNodeAgent } from '../../src/actors/agent/node-agent.ts'
import type { AgentMemory } from '../../src/process/agent-store.ts'
import type { MemoryConnection } from '../support/memory-bus/connection.ts'
import { openStateLog } from '../../src/transport/bus-state-log.ts'
import type { Random } from '../support/random.ts'
import type { SimMachine } from '../support/sim-host.ts'
import { simLogStore, type LogMarks } from '../support/sim-log-store.ts'
import type { SimProcess } from '../support/sim-process.ts'

/** shorter than in life, so that a seed of 30 s sees lapses, losses and snapshots */
export const PREPARE_LAPSE_MS = 4000
export const LOST_AFTER_MS = 8000
export const SNAPSHOT_ENTRIES = 60
/** entries of two snapshots, and what renews between a snapshot and its purge */
export const STATE_ENTRIES_MAX = 4 * SNAPSHOT_ENTRIES

interface Common {
  fleet: string
  incarnation: string
  process: SimProcess
  bus: MemoryConnection
  random: Random
  /** it ended by itself */
  ended(): void
  trace?: ((line: string) => void) | undefined
}

/** what a step was told and what it ordered, in one line of a replay */
function stepper({ process, trace }: Common) {
  return (event: object, commands: readonly object[]): void => {
    if (
      !('type' in event && event.type === 'tick') &&
      !('kind' in event && event.kind === 'nodes-tick') &&
      !('kind' in event && event.kind === 'beat')
    )
      trace?.(
        `         ${process.name} steps ${short(event)} → ${commands.map(short).join(' ') || 'nothing'}`,
      )
  }
}
function short(value: object): string {
  return JSON.stringify(value).slice(0, 9000)
}
function logger({ process, trace }: Common) {
  return (fields: Record<string, unknown>): void =>
    trace?.(`         ${process.name} says ${JSON.stringify(fields)}`)
}

export async function startCoordinator(options: Common): Promise<void> {
  const { fleet, incarnation, process, bus, ended } = options
  const handle = await startRealCoordinator({
    bus,
    stateLog: openStateLog(bus, fleet, { clock: process.clock }),
    fleet,
    incarnation,
    clock: process.clock,
    settings: {
      prepareLapseMs: PREPARE_LAPSE_MS,
      lostAfterMs: LOST_AFTER_MS,
      snapshotEntries: SNAPSHOT_ENTRIES,
      renewMs: 1000,
      // smaller than most runs: they are launched, stopped and recovered in slices
      stepWorkersMax: 3,
      nodesTickMs: 500,
    },
    log: logger(options),
    ...(options.trace !== undefined && { onStep: stepper(options) }),
  })
  void handle.ended.then(ended)
}

export async function startAgent(
  options: Common & {
    node: string
    logBus: MemoryConnection
    machine: SimMachine
    marks: LogMarks
    store: { memory: AgentMemory }
    orphanAfterMs: number | null
  },
): Promise<void> {
  const { fleet, incarnation, process, bus, logBus, node, machine, marks, store, random, ended } = options
  const handle = await startNodeAgent({
    bus,
    logBus,
    fleet,
    node,
    incarnation,
    host: machine.host(process),
    logs: simLogStore(machine, process, marks, random),
    store: {
      read: () => Promise.resolve(structuredClone(store.memory)),
      write: (memory) =>
        new Promise((resolve) =>
          process.clock.after(1, () => {
            if (!process.effect('store.write')) return
            store.memory = structuredClone(memory)
            resolve()
          }),
        ),
    },
    clock: process.clock,
    settings: {
      prepareLapseMs: PREPARE_LAPSE_MS,
      beatMs: 1000,
      logs: { batchMs: 400 },
      ...(options.orphanAfterMs !== null && { orphanAfterMs: options.orphanAfterMs, tailReadMs: 1000 }),
    },
    pid: 1,
    log: logger(options),
    ...(options.trace !== undefined && { onStep: stepper(options) }),
  })
  void handle.ended.then(ended)
}
