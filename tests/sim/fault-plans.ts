/** Which faults strike in one seed, and before which effect. */
import type { CrashPoint, FaultPlan } from './plans.ts'
import type { Random } from '../support/random.ts'

const COORDINATOR_POINTS: readonly CrashPoint[] = [
  'prepare',
  'prepare',
  'prepare',
  'start',
  'start',
  'kill',
  'release',
  'respond',
  'state',
  'state',
  'queue-ack',
  'event',
  'any',
]

const AGENT_POINTS: readonly CrashPoint[] = [
  'host.prepare',
  'host.start',
  'respond',
  'respond',
  'host.note',
  'host.kill',
  'event',
  'event',
  'log',
  'any',
]

export function faultOf(random: Random, at: number, nodes: number, coordinators: number): FaultPlan {
  const slot = random.chance(0.75) ? 'leader' : random.int(0, coordinators - 1)
  const node = random.int(0, nodes - 1)
  const roll = random.next()
  if (roll < 0.27)
    return {
      at,
      kind: 'crash-coordinator',
      slot,
      before: random.pick(COORDINATOR_POINTS),
      skip: random.chance(0.6) ? 0 : random.int(1, 6),
      forMs: random.int(50, 6000),
    }
  if (roll < 0.3)
    return { at, kind: 'slow-disk', appendMs: random.int(20, 700), forMs: random.int(300, 5000) }
  if (roll < 0.33) return { at, kind: 'full-disk', forMs: random.int(300, 9000) }
  if (roll < 0.58)
    return {
      at,
      kind: 'crash-agent',
      node,
      before: random.pick(AGENT_POINTS),
      skip: random.chance(0.6) ? 0 : random.int(1, 6),
      forMs: random.int(50, 8000),
    }
  if (roll < 0.66)
    return { at, kind: 'freeze-coordinator', slot, writing: random.chance(0.6), forMs: random.int(200, 7000) }
  if (roll < 0.76) return { at, kind: 'freeze-agent', node, forMs: random.int(200, 9000) }
  if (roll < 0.81) return { at, kind: 'cut-coordinator', slot, forMs: random.int(100, 6000) }
  if (roll < 0.92)
    return { at, kind: 'cut-agent', node, logs: random.chance(0.4), forMs: random.int(100, 9000) }
  return { at, kind: 'twin', node }
}

/**
 * For an agent that cannot end its workers in time (dead, frozen) the shim does, and a simulated fork has
 * none that lives by itself: links only.
 */
export function fenceFaultOf(random: Random, at: number, nodes: number, coordinators: number): FaultPlan {
  return random.chance(0.6)
    ? { at, kind: 'cut-agent', node: random.int(0, nodes - 1), logs: false, forMs: random.int(5000, 20_000) }
    : {
        at,
        kind: 'crash-coordinator',
        slot: random.chance(0.75) ? 'leader' : random.int(0, coordinators - 1),
        before: random.pick(COORDINATOR_POINTS),
        skip: random.int(0, 3),
        forMs: random.int(50, 3000),
      }
}
