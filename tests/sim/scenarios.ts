/**
 * What happens in one seed: how large the fleet is, which runs are launched and how their programs behave,
 * what people ask, and which faults strike when. The generator is biased so that each named situation is
 * common.
 */
import { documentOf } from './documents.ts'
import { faultOf, fenceFaultOf } from './fault-plans.ts'
import type { AskPlan, FaultPlan, LaunchPlan, Scenario } from './plans.ts'
import { randomOf, type Random } from '../support/random.ts'

/** longer than the orphans' bound, the reading of the tail and any grace */
export const ABSENCE = { orphanAfterMs: 5000, forMs: 14_000 } as const

/** Of ten seeds one is about fences, and one now and then about orphans. */
const FLAVOURS = [...Array.from({ length: 8 }, () => 'faults' as const), 'fence'] as const
type Flavour = 'faults' | 'fence' | 'orphans'

export function scenarioOf(seed: number): Scenario {
  const random = randomOf(seed).fork('scenario')
  const flavour: Flavour = random.pick([...FLAVOURS, random.pick(['orphans', 'faults'] as const)])
  const nodes = random.pick([2, 2, 2, 3, 3, 4, 5])
  const coordinators = random.pick([1, 2, 2, 3])
  const calmAt = flavour === 'faults' ? random.int(10_000, 16_000) : 27_000
  const launches = launchesOf(random, nodes, flavour === 'fence')
  const asks = asksOf(random, launches)
  const faults = faultsOf(random, flavour, { nodes, coordinators, calmAt })
  const noisy = random.chance(0.6)
  return {
    seed,
    nodes,
    coordinators,
    launches,
    asks,
    noise: noisy
      ? {
          loss: random.next() * 0.03,
          copy: random.next() * 0.04,
          late: random.next() * 0.04,
          ackLost: random.next() * 0.03,
          callLost: random.next() * 0.02,
        }
      : { loss: 0, copy: 0, late: 0, ackLost: 0, callLost: 0 },
    faults: faults.sort((a, b) => a.at - b.at),
    ghosts: random.chance(0.7),
    watched: random.chance(0.4),
    orphanAfterMs: flavour === 'orphans' ? ABSENCE.orphanAfterMs : null,
    calmAt,
  }
}

function launchesOf(random: Random, nodes: number, fenced: boolean): LaunchPlan[] {
  const launches: LaunchPlan[] = []
  const count = random.pick([1, 1, 2, 2, 3])
  for (let i = 0; i < count; i++) {
    const door = random.chance(0.6) ? 'request' : 'durable'
    const key = door === 'durable' && random.chance(0.5) ? null : `key-${i}`
    const first: LaunchPlan = {
      at: random.int(200, 6500),
      door,
      key,
      document: documentOf(random, i, nodes, fenced),
    }
    launches.push(first)
    if (key !== null && random.chance(0.35)) {
      // the same key again, now and then with another spec, perhaps by the other door
      const other = random.chance(0.35)
      launches.push({
        at: first.at + random.int(0, 5000),
        door: random.pick(['request', 'durable']),
        key,
        document: other ? { ...first.document, name: `other${i}` } : first.document,
      })
    }
  }
  return launches
}

function asksOf(random: Random, launches: readonly LaunchPlan[]): AskPlan[] {
  const asks: AskPlan[] = []
  while (random.chance(0.5) && asks.length < 4) {
    const launch = random.int(0, launches.length - 1)
    const one = random.chance(0.25)
    asks.push({
      at: launches[launch]!.at + random.int(0, 6000),
      launch,
      verb: random.pick(['stop', 'stop', 'kill', 'signal']),
      ...(one && { role: 'main', index: 0 }),
    })
  }
  return asks
}

function faultsOf(
  random: Random,
  flavour: Flavour,
  { nodes, coordinators, calmAt }: Pick<Scenario, 'nodes' | 'coordinators' | 'calmAt'>,
): FaultPlan[] {
  const make = flavour === 'fence' ? fenceFaultOf : faultOf
  const atMost = { faults: calmAt - 1500, fence: 10_000, orphans: 8000 }[flavour]
  const faults = Array.from({ length: flavour === 'orphans' ? 1 : random.int(2, 5) }, () =>
    make(random, random.int(300, atMost), nodes, coordinators),
  )
  if (flavour === 'orphans')
    faults.push({ at: random.int(9000, 11_000), kind: 'no-coordinator', forMs: ABSENCE.forMs })
  if (flavour === 'faults' && random.chance(0.03))
    faults.push({ at: random.int(4000, calmAt - 1000), kind: 'reset-store' })
  return faults
}
