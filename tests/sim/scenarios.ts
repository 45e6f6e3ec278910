/**
 * What happens in one seed: how large the fleet is, which runs are launched and how their programs behave,
 * what people ask, and which faults strike when. Data alone; world.ts plays it. The generator is biased so
 * that each named situation is common.
 */
import { randomOf, type Random } from '../support/random.ts'

export interface LaunchPlan {
  at: number
  door: 'request' | 'durable'
  /** null: the durable door makes one */
  key: string | null
  document: Record<string, unknown>
}

export interface AskPlan {
  at: number
  /** index of the launch */
  launch: number
  verb: 'stop' | 'kill' | 'signal'
  role?: string
  index?: number
}

/** Which effects a kill -9 falls before; `any`: the next one, whatever it is. */
export type CrashPoint =
  | 'any'
  | 'prepare'
  | 'start'
  | 'kill'
  | 'release'
  | 'respond'
  | 'state'
  | 'queue-ack'
  | 'host.prepare'
  | 'host.start'
  | 'host.note'
  | 'host.kill'
  | 'event'
  | 'log'

export type FaultPlan = { at: number } & (
  | { kind: 'crash-coordinator'; slot: number | 'leader'; before: CrashPoint; skip: number; forMs: number }
  | { kind: 'crash-agent'; node: number; before: CrashPoint; skip: number; forMs: number }
  | { kind: 'freeze-coordinator'; slot: number | 'leader'; writing: boolean; forMs: number }
  | { kind: 'freeze-agent'; node: number; forMs: number }
  | { kind: 'cut-coordinator'; slot: number | 'leader'; forMs: number }
  | { kind: 'cut-agent'; node: number; logs: boolean; forMs: number }
  | { kind: 'twin'; node: number }
  | { kind: 'reset-store' }
  /** each append of the server takes so long */
  | { kind: 'slow-disk'; appendMs: number; forMs: number }
  /** the server refuses every append */
  | { kind: 'full-disk'; forMs: number }
  /** no coordinator at all, for longer than orphans may live */
  | { kind: 'no-coordinator'; forMs: number }
)

export interface Scenario {
  seed: number
  nodes: number
  coordinators: number
  launches: LaunchPlan[]
  asks: AskPlan[]
  /** probabilities per hop or call, until `calmAt` */
  noise: { loss: number; copy: number; late: number; ackLost: number; callLost: number }
  faults: FaultPlan[]
  /** a coordinator that does not know that it was deposed sends on: its last orders, with a good time */
  ghosts: boolean
  /** somebody asks for the list all the time */
  watched: boolean
  /** workers end when no coordinator gave a sign of life for so long; null: the default of a day */
  orphanAfterMs: number | null
  /** faults end, everything that is down comes back */
  calmAt: number
}

function seconds(ms: number): string {
  return `${ms}ms`
}

function program(random: Random, kind: 'task' | 'service' | 'torchrun', restarts: boolean): string[] {
  const parts = [
    'sim',
    `log=${random.pick([0, 0, 300, 4000])}`,
    `ready=${random.int(20, 900)}`,
    `slow=${random.chance(0.15) ? random.int(100, 2500) : 0}`,
  ]
  const life = random.int(300, 7000)
  if (kind === 'service') {
    if (random.chance(0.12)) parts.push(`life=${life}`, `code=${random.pick([0, 1])}`)
  } else if (!random.chance(0.1)) {
    parts.push(`life=${life}`)
    if (random.chance(restarts ? 0.6 : 0.2))
      parts.push(
        random.chance(0.7)
          ? `code=${random.pick([1, 2, 7, 137])}`
          : `signal=${random.pick(['SIGSEGV', 'SIGKILL'])}`,
      )
    if (restarts) parts.push(`okFrom=${random.int(2, 4)}`)
  }
  parts.push(
    `term=${random.pick(['die', 'die', '0', '143', 'ignore'])}`,
    `termMs=${random.pick([10, 200, 700])}`,
  )
  if (random.chance(0.35))
    parts.push(
      `kids=${random.int(1, 2)}`,
      `kidsStay=${random.int(0, 1)}`,
      `kidsTerm=${random.pick(['die', 'ignore'])}`,
    )
  if (random.chance(0.04)) parts.push(`exec=${random.pick([126, 127])}`)
  return parts
}

function roleOf(
  random: Random,
  kind: 'task' | 'service' | 'torchrun',
  nodes: number,
  fenced: boolean,
): Record<string, unknown> {
  const restarts = kind !== 'service' && random.chance(0.45)
  const size = random.int(1, kind === 'torchrun' ? nodes : 3)
  const resources: Record<string, unknown> = {
    ...(random.chance(0.4) && { cpus: random.int(1, 3) }),
    ...(random.chance(0.3) && { gpus: 1 }),
    ...(random.chance(0.4) && { ports: 1 }),
  }
  return {
    kind,
    ...(kind === 'torchrun' ? { shape: `${size}x2` } : { replicas: size }),
    ...(Object.keys(resources).length > 0 && { resources }),
    command: program(random, kind, restarts),
    stop: {
      signal: 'TERM',
      grace: seconds(random.pick([0, 300, 1500])),
      order: random.pick(['reverse', 'parallel']),
    },
    ...(kind === 'service' && random.chance(0.6) && { ready: { exec: ['true'], timeout: '10s' } }),
    ...(restarts && {
      restart: {
        policy: 'on-failure',
        max: random.int(1, 3),
        backoff: [seconds(random.int(50, 400)), seconds(2000)],
        scope: random.pick(['worker', 'role', 'run']),
      },
    }),
    ...(random.chance(0.15) && { failFast: false }),
    ...(fenced && { fenceAfter: '3s' }),
  }
}

function documentOf(random: Random, number: number, nodes: number, fenced: boolean): Record<string, unknown> {
  const roles: Record<string, unknown> = {}
  const main = random.chance(0.25) ? 'torchrun' : 'task'
  const served = random.chance(0.4)
  if (served) roles['server'] = roleOf(random, 'service', nodes, fenced)
  roles['main'] = {
    ...roleOf(random, main, nodes, fenced),
    ...(served && random.chance(0.7) && { dependsOn: { server: random.pick(['started', 'ready']) } }),
  }
  if (random.chance(0.2)) roles['extra'] = roleOf(random, random.pick(['task', 'service']), nodes, fenced)
  return {
    apiVersion: 'troupe/v1',
    name: `r${number}`,
    roles,
    ...(served && { stopWhen: 'main.done' }),
    deadlines: { start: '40s', ...(random.chance(0.15) && { run: seconds(random.int(2000, 12_000)) }) },
  }
}

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

function faultOf(random: Random, at: number, nodes: number, coordinators: number): FaultPlan {
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
function fenceFaultOf(random: Random, at: number, nodes: number, coordinators: number): FaultPlan {
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

/** longer than the orphans' bound, the reading of the tail and any grace */
export const ABSENCE = { orphanAfterMs: 5000, forMs: 14_000 } as const

export function scenarioOf(seed: number): Scenario {
  const random = randomOf(seed).fork('scenario')
  const flavour = random.pick([
    'faults',
    'faults',
    'faults',
    'faults',
    'faults',
    'faults',
    'faults',
    'faults',
    'fence',
    random.pick(['orphans', 'faults']),
  ] as const)
  const nodes = random.pick([2, 2, 2, 3, 3, 4, 5])
  const coordinators = random.pick([1, 2, 2, 3])
  const calmAt = flavour === 'faults' ? random.int(10_000, 16_000) : 27_000
  const launches: LaunchPlan[] = []
  const count = random.pick([1, 1, 2, 2, 3])
  for (let i = 0; i < count; i++) {
    const door = random.chance(0.6) ? 'request' : 'durable'
    const key = door === 'durable' && random.chance(0.5) ? null : `key-${i}`
    const first: LaunchPlan = {
      at: random.int(200, 6500),
      door,
      key,
      document: documentOf(random, i, nodes, flavour === 'fence'),
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
  const make = flavour === 'fence' ? fenceFaultOf : faultOf
  const faults = Array.from({ length: flavour === 'orphans' ? 1 : random.int(2, 5) }, () =>
    make(
      random,
      random.int(300, flavour === 'fence' ? 10_000 : flavour === 'orphans' ? 8000 : calmAt - 1500),
      nodes,
      coordinators,
    ),
  )
  if (flavour === 'orphans')
    faults.push({ at: random.int(9000, 11_000), kind: 'no-coordinator', forMs: ABSENCE.forMs })
  if (flavour === 'faults' && random.chance(0.03))
    faults.push({ at: random.int(4000, calmAt - 1000), kind: 'reset-store' })
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
