/** Launch documents of the simulation, and how their programs behave (support/sim-tree.ts reads that). */
import type { Random } from '../support/random.ts'

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

export function documentOf(
  random: Random,
  number: number,
  nodes: number,
  fenced: boolean,
): Record<string, unknown> {
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
