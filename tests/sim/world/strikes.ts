/** The faults of one world, when they strike. */
import type { MemoryConnection } from '../../support/memory-bus/connection.ts'
import type { SimDisk } from '../disk.ts'
import type { CrashPoint, FaultPlan } from '../plans.ts'
import type { SimFleet, Slot } from './slots.ts'
import type { Stage } from './stage.ts'

const CRASH_POINTS: Record<CrashPoint, RegExp> = {
  any: /./,
  prepare: /^bus\.request .*\.prepare$/,
  start: /^bus\.request .*\.start$/,
  kill: /^bus\.request .*\.(kill|cancel)$/,
  release: /^bus\.request .*\.release$/,
  respond: /^bus\.respond /,
  state: /^bus\.append .*\.state$/,
  'queue-ack': /^bus\.ack /,
  event: /^bus\.append .*\.event\./,
  log: /^bus\.append .*\.log\./,
  'host.prepare': /^host\.prepare/,
  'host.start': /^host\.start /,
  'host.note': /^host\.note /,
  'host.kill': /^host\.(kill|signal)/,
}

/** @returns strikes with one fault, now */
export function strikesIn(stage: Stage, fleet: SimFleet, disk: SimDisk): (fault: FaultPlan) => void {
  const { clock, history } = stage
  const coordinator = (index: number | 'leader'): Slot | undefined => fleet.at('coordinator', index)
  const agent = (index: number): Slot | undefined => fleet.at('agent', index)
  const cut = (bus: MemoryConnection | null | undefined, forMs: number): void => {
    if (bus == null) return
    bus.setLink(false)
    history.add({ kind: 'link', name: bus.name, up: false })
    clock.after(forMs, () => {
      bus.setLink(true)
      history.add({ kind: 'link', name: bus.name, up: true })
    })
  }
  return (fault) => {
    switch (fault.kind) {
      case 'crash-coordinator':
        return crash(stage, coordinator(fault.slot), fault)
      case 'crash-agent':
        return crash(stage, agent(fault.node), fault)
      case 'freeze-coordinator':
        return fault.writing
          ? freezeWriting(stage, coordinator(fault.slot), fault.forMs)
          : freeze(stage, coordinator(fault.slot), fault.forMs)
      case 'freeze-agent':
        return freeze(stage, agent(fault.node), fault.forMs)
      case 'cut-coordinator':
        return cut(coordinator(fault.slot)?.bus, fault.forMs)
      case 'cut-agent': {
        const slot = agent(fault.node)
        return cut(fault.logs ? slot?.logBus : slot?.bus, fault.forMs)
      }
      case 'slow-disk':
        return disk.be(fault.appendMs, fault.forMs)
      case 'full-disk':
        return disk.be('full', fault.forMs)
      case 'twin': {
        const slot = agent(fault.node)
        if (slot?.process != null) fleet.up(slot)
        return
      }
      case 'no-coordinator':
        return endCoordinators(stage, fleet, fault.forMs)
      case 'reset-store':
        // its server starts again without its disk: every link falls
        stage.server.resetStore()
        history.add({ kind: 'store-reset' })
        for (const slot of fleet.slots) for (const bus of [slot.bus, slot.logBus]) cut(bus, 150)
    }
  }
}

function freeze({ clock, history }: Stage, slot: Slot | undefined, forMs: number): void {
  const process = slot?.process
  if (slot === undefined || process == null || !process.alive || process.frozen) return
  process.freeze()
  const { role, index, incarnation } = slot
  const fact = { kind: 'process', name: process.name, role, slot: index, incarnation, before: null } as const
  history.add({ ...fact, what: 'frozen' })
  clock.after(forMs, () => {
    if (!process.alive || !process.frozen) return
    history.add({ ...fact, what: 'thawed' })
    process.thaw()
  })
}

/** Just when an append has left, so that its ack waits for the thaw. */
function freezeWriting(stage: Stage, slot: Slot | undefined, forMs: number): void {
  let due = true
  slot?.process?.crashBefore((label) => {
    if (due && CRASH_POINTS.state.test(label)) {
      due = false
      stage.clock.after(0, () => freeze(stage, slot, forMs))
    }
    return false
  })
}

function crash(
  { clock }: Stage,
  slot: Slot | undefined,
  { before, skip, forMs }: { before: CrashPoint; skip: number; forMs: number },
): void {
  const process = slot?.process
  if (slot === undefined || process == null) return
  slot.downMs = forMs
  let left = skip
  process.crashBefore((label) => CRASH_POINTS[before].test(label) && left-- <= 0)
  clock.after(5000, () => process.kill())
}

/** Near the end of that time an agent that was there all along says which trees it still has. */
function endCoordinators({ clock, history, now }: Stage, fleet: SimFleet, forMs: number): void {
  const agents = fleet.slots
    .filter((slot) => slot.role === 'agent')
    .map((slot) => [slot, slot.process] as const)
  fleet.holdCoordinators(now() + forMs)
  for (const slot of fleet.slots) if (slot.role === 'coordinator') slot.process?.kill()
  clock.after(forMs - 500, () => {
    for (const [slot, process] of agents) {
      const machine = fleet.machines[slot.index]!
      if (process === null || process !== slot.process || process.frozen || machine.owner !== process)
        continue
      const trees = [...machine.spools.keys()].filter((forkId) => machine.alive(forkId) > 0)
      history.add({ kind: 'orphans', node: `n${slot.index}`, trees })
    }
  })
}
