/**
 * One seed, played: a bus, coordinators, machines with agents, people, and the faults of its scenario, on one
 * thread and a manual clock. The actors are the real ones; what is simulated is below them. Ends when
 * everything came to rest, or patience ends.
 */
import { streamOf } from '../../src/protocol/table.ts'
import { manualClock, type ManualClock } from '../support/manual-clock.ts'
import { memoryServer, type MemoryServer } from '../support/memory-bus/memory-bus.ts'
import { randomOf, type Random } from '../support/random.ts'
import { logSize } from '../support/sim-log-store.ts'
import { PREPARE_LAPSE_MS, STATE_ENTRIES_MAX } from './assembly.ts'
import { check, type Violation } from './checker.ts'
import { simDisk, type SimDisk } from './disk.ts'
import { FLEET, historyOn, type Fact, type History } from './history.ts'
import type { Ending } from './invariants/invariant.ts'
import type { Scenario } from './plans.ts'
import { situationsOf, type Situation } from './situations.ts'
import { ghostIn, type Ghost } from './world/ghosts.ts'
import { peopleOf, type People } from './world/people.ts'
import { newOpen, openText, track, type Open } from './world/rest.ts'
import { simFleet, type SimFleet } from './world/slots.ts'
import type { Stage } from './world/stage.ts'
import { strikesIn } from './world/strikes.ts'
import { describe } from './world/trace.ts'

/** people stop what still runs so long after the faults, and the fleet has so long to come to rest */
const SWEEP_AFTER_MS = 2500
const PATIENCE_MS = 90_000

export interface Outcome {
  seed: number
  facts: readonly Fact[]
  violations: Violation[]
  situations: Set<Situation>
  simulatedMs: number
}

export async function play(
  scenario: Scenario,
  options: { trace?: (line: string) => void } = {},
): Promise<Outcome> {
  const random = randomOf(scenario.seed)
  const clock = manualClock()
  const started = clock.now()
  const now = (): number => clock.now() - started
  const open = newOpen()
  const history = historyOn(now, (fact) => {
    options.trace?.(describe(fact))
    track(open, fact)
    if (fact.kind === 'state') stage.leader = fact.entry.writer
    if (fact.kind === 'order-answer') ghost.haunt(fact)
  })
  const disk = simDisk(clock, () => history)
  const server = noisyServer(
    { scenario, clock, history, disk, noise: random.fork('noise') },
    () => stage.calm,
  )
  const stage: Stage = {
    scenario,
    clock,
    now,
    random,
    strike: random.fork('strike'),
    server,
    history,
    crashes: [],
    calm: false,
    leader: '',
    trace: options.trace,
  }
  const fleet = simFleet(stage)
  const ghost: Ghost = ghostIn(stage, fleet)
  server.observe((traffic) => {
    history.traffic(traffic, (name) => fleet.named(name)?.process?.frozen ?? false)
    ghost.heard(traffic)
  })
  const people = peopleOf(stage, open)
  const strike = strikesIn(stage, fleet, disk)
  for (const fault of scenario.faults) clock.after(fault.at, () => strike(fault))
  clock.after(scenario.calmAt, () => calmDown(stage, fleet, people, disk))

  const ending = await restOf(stage, fleet, people, open, started)
  for (const slot of fleet.slots) {
    const { process } = slot
    slot.process = null
    process?.kill()
  }
  return {
    seed: scenario.seed,
    facts: history.facts,
    violations: [...stage.crashes, ...check(ending)],
    situations: situationsOf(history.facts, PREPARE_LAPSE_MS),
    simulatedMs: now(),
  }
}

/** A bus that loses, copies and delays messages and answers until it is calm. */
function noisyServer(
  parts: { scenario: Scenario; clock: ManualClock; history: History; disk: SimDisk; noise: Random },
  isCalm: () => boolean,
): MemoryServer {
  const { scenario, clock, history, disk, noise } = parts
  const { loss, copy, late, ackLost, callLost } = scenario.noise
  return memoryServer(clock, {
    disk: () => disk.now(),
    hopMs: () => noise.int(1, 2),
    copies({ subject }) {
      if (isCalm()) return [0]
      const roll = noise.next()
      if (roll < loss) {
        history.answerLost(subject)
        return []
      }
      if (roll < loss + copy) return [0, noise.int(0, 9000)]
      return roll < loss + copy + late ? [noise.int(10, 4000)] : [0]
    },
    call(kind, from, subject) {
      if (isCalm()) return 'done'
      const roll = noise.next()
      if (roll < ackLost) {
        if (kind === 'append') history.add({ kind: 'ack-lost', from, subject })
        return 'answer-lost'
      }
      return roll < ackLost + callLost ? 'lost' : 'done'
    },
  })
}

/**
 * Every fault ends, what is down comes back; a person accepts a new store and stops what still runs.
 */
function calmDown(stage: Stage, fleet: SimFleet, people: People, disk: SimDisk): void {
  const { scenario, clock, history } = stage
  stage.calm = true
  history.add({ kind: 'calm' })
  disk.be(0, 0)
  for (const slot of fleet.slots) {
    slot.process?.crashBefore(null)
    slot.process?.thaw()
    slot.bus?.setLink(true)
    slot.logBus?.setLink(true)
  }
  if (scenario.faults.some((fault) => fault.kind === 'reset-store'))
    for (let i = 0; i < scenario.nodes; i++) clock.after(3000, () => void people.adopt(`n${i}`))
  clock.after(SWEEP_AFTER_MS, () => people.sweep())
}

/** Play until everything is at rest, or patience ends. */
async function restOf(
  stage: Stage,
  fleet: SimFleet,
  people: People,
  open: Open,
  started: number,
): Promise<Ending> {
  const { scenario, clock, server, history } = stage
  const left = (): string[] => {
    const queued = server.streams.get(streamOf(FLEET, 'LAUNCH'))?.messages.length ?? 0
    return [...people.pending, ...(queued > 0 ? [`${queued} queued launches`] : []), ...openText(open)]
  }
  const limit = scenario.calmAt + PATIENCE_MS
  let timers = 0
  let converged = false
  for (let until = 500; until <= limit && !converged; until += 500) {
    while (await clock.step(started + until));
    timers = Math.max(timers, clock.pending)
    converged = stage.calm && stage.now() > scenario.calmAt + 1000 && left().length === 0
  }
  return {
    facts: history.facts,
    converged,
    prepareLapseMs: PREPARE_LAPSE_MS,
    left: left(),
    sizeOf(forkId) {
      const machine = fleet.machines.find((one) => one.spools.get(forkId)?.startedNow != null)
      return machine === undefined ? 0 : logSize(machine, forkId)
    },
    bounds: {
      timers,
      stateEntries: server.streams.get(streamOf(FLEET, 'STATE'))?.messages.length ?? 0,
      stateEntriesMax: STATE_ENTRIES_MAX,
      inboxes: server.waiting(),
    },
  }
}
