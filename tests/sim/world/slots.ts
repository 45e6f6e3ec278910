/**
 * Machines, and a slot for each coordinator and agent: the process in it is a real actor on simulated parts.
 * What ends, by itself or by a fault, is started again after a while.
 */
import { ulid } from '../../../src/system/ulid.ts'
import type { MemoryConnection } from '../../support/memory-bus/connection.ts'
import { simMachine, type SimMachine } from '../../support/sim-host.ts'
import type { LogMarks } from '../../support/sim-log-store.ts'
import { simProcess, type SimProcess } from '../../support/sim-process.ts'
import { startAgent, startCoordinator } from '../assembly.ts'
import { FLEET } from '../history.ts'
import type { Stage } from './stage.ts'

export interface Slot {
  role: 'coordinator' | 'agent'
  index: number
  count: number
  process: SimProcess | null
  bus: MemoryConnection | null
  logBus: MemoryConnection | null
  incarnation: string
  /** how long it stays down after its next end */
  downMs: number
}

export interface SimFleet {
  readonly slots: readonly Slot[]
  readonly machines: readonly SimMachine[]
  /** start a process in it, beside the one that may be there */
  up(slot: Slot): void
  at(role: Slot['role'], index: number | 'leader'): Slot | undefined
  named(name: string): Slot | undefined
  /** no coordinator is started before */
  holdCoordinators(untilMs: number): void
}

export function simFleet(stage: Stage): SimFleet {
  const { scenario, clock, random } = stage
  const machines = machinesOf(stage)
  const marks: LogMarks[] = machines.map(() => new Map())
  const stores = machines.map(() => ({ memory: { epoch: null } }))
  const skews = Array.from({ length: scenario.nodes + scenario.coordinators }, (_, i) => ({
    now: random.int(1000, 5_000_000),
    wall: i < scenario.nodes && random.chance(0.2) ? random.int(-3_600_000, 3_600_000) : random.int(-40, 40),
  }))
  const slots: Slot[] = []
  let coordinatorsBackAt = 0

  const up = (slot: Slot): void => {
    const wait = slot.role === 'coordinator' ? coordinatorsBackAt - stage.now() : 0
    if (wait > 0) return clock.after(wait, () => void (slot.process === null && up(slot)))
    const skew = skews[slot.role === 'agent' ? slot.index : scenario.nodes + slot.index]!
    const { process, bus, logBus, incarnation } = fill(stage, slot, skew, up)
    const common = {
      fleet: FLEET,
      incarnation,
      process,
      bus,
      // whatever ends by itself is ended: a supervisor outside starts it again
      ended: (): void => process.kill(),
      random: random.fork(process.name),
      trace: stage.trace,
    }
    const starting =
      slot.role === 'coordinator'
        ? startCoordinator(common)
        : startAgent({
            ...common,
            node: `n${slot.index}`,
            logBus: logBus!,
            machine: machines[slot.index]!,
            marks: marks[slot.index]!,
            store: stores[slot.index]!,
            orphanAfterMs: scenario.orphanAfterMs,
          })
    starting.then(
      () => {},
      (error: unknown) => {
        stage.trace?.(`${process.name} could not start: ${(error as Error).message}`)
        process.kill()
      },
    )
  }
  const addSlot = (role: Slot['role'], index: number): void => {
    const empty = { process: null, bus: null, logBus: null }
    const slot: Slot = { role, index, count: 0, ...empty, incarnation: '', downMs: 500 }
    slots.push(slot)
    clock.after(random.int(0, 300), () => up(slot))
  }
  for (let i = 0; i < scenario.coordinators; i++) addSlot('coordinator', i)
  for (let i = 0; i < scenario.nodes; i++) addSlot('agent', i)
  return {
    slots,
    machines,
    up,
    at: (role, index) =>
      slots.find(
        (slot) =>
          slot.role === role &&
          (index === 'leader' ? slot.incarnation === stage.leader : slot.index === index),
      ) ?? slots.find((slot) => slot.role === role),
    named: (name) => slots.find((slot) => slot.process?.name === name),
    holdCoordinators: (untilMs) => void (coordinatorsBackAt = untilMs),
  }
}

function machinesOf({ scenario, clock, random, history }: Stage): SimMachine[] {
  return Array.from({ length: scenario.nodes }, (_, i): SimMachine => {
    const node = `n${i}`
    return simMachine({
      node,
      clock,
      random: random.fork(`machine ${node}`),
      cpus: 8,
      gpus: 2,
      tell: (fact) => history.add({ kind: 'machine', node, ...fact }),
    })
  })
}

/** A new process in a slot, with its connections; when it has ended, `again` is called after a while. */
function fill(stage: Stage, slot: Slot, skew: { now: number; wall: number }, again: (slot: Slot) => void) {
  const { clock, random, history, server, strike } = stage
  const incarnation = ulid(
    clock.wall(),
    Uint8Array.from({ length: 10 }, () => random.int(0, 255)),
  )
  const name = `${slot.role === 'agent' ? 'n' : 'c'}${slot.index}#${++slot.count}`
  let lastLabel = ''
  const process = simProcess({
    name,
    clock,
    nowOffset: skew.now,
    wallOffset: skew.wall,
    onEffect(label) {
      lastLabel = label
      if (label.startsWith('bus.publish') && !bus.connected)
        history.add({ kind: 'dropped-unconnected', from: name, subject: label.slice(12) })
    },
    onThrow: (error) =>
      void stage.crashes.push({
        invariant: 'no actor throws',
        at: stage.now(),
        text: `${name}: ${(error as Error).stack ?? error}`,
      }),
  })
  const connect = (as: string): MemoryConnection =>
    server.connect({ name: as, clock: process.clock, hooks: process.hooks })
  const bus = connect(name)
  const logBus = slot.role === 'agent' ? connect(`${name}/logs`) : null
  Object.assign(slot, { process, bus, logBus, incarnation, downMs: strike.int(200, 1500) })
  const fact = { kind: 'process', name, role: slot.role, slot: slot.index, incarnation } as const
  history.add({ ...fact, what: 'up', before: null })
  process.onEnd((before) => {
    bus.sever()
    logBus?.sever()
    if (before?.startsWith('bus.respond ')) history.answerLost(before.slice(12))
    history.add({
      ...fact,
      what: 'killed',
      before: before ?? (lastLabel === '' ? null : `after ${lastLabel}`),
    })
    if (slot.process !== process) return
    slot.process = null
    clock.after(stage.calm ? 200 : slot.downMs, () => void (slot.process === null && again(slot)))
  })
  return { process, bus, logBus, incarnation }
}
