import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { expect, test } from 'vitest'

const src = resolve(import.meta.dirname, '../../../src')
const RANK: Record<string, number> = {
  system: 0,
  protocol: 0,
  core: 1,
  transport: 2,
  process: 2,
  backends: 2,
  actors: 3,
  client: 4,
  fleet: 4,
  services: 4,
  cli: 5,
  reference: 6,
}
/** DESIGN.md section 2: where the concrete is handed in. */
const ASSEMBLY = [
  /^index\.ts$/,
  /^fleet\//,
  /^cli\/commands\/(up|down|agent|coordinator|user|keys|nodes-invite|nodes-revoke|tenants)\.ts$/,
  // it uses no fleet: it looks at this machine as an agent would
  /^cli\/commands\/validate\.ts$/,
]
/** A wrapped package has one importer. */
const OWNER_OF: Record<string, string[]> = {
  nats: ['transport/nats/connection.ts'],
  '@nats-io/jwt': ['transport/nats/jwt.ts'],
  msgpackr: ['protocol/codec.ts'],
  execa: ['system/run.ts'],
  'tree-kill': ['system/run.ts'],
  'get-port': ['fleet/bus-port.ts'],
}

/** Programs that are no helpers, and so are not started by system/run.ts; each with the reason. */
const SPAWNS: Record<string, string> = {
  'process/spawn-shim.ts': 'the shim outlives us: a session of its own, no pipes, its end is read from files',
  'process/hooks.ts': 'what a probe leaves behind is found by a mark in its environment; it has no output',
  'transport/nats-server.ts': 'the bus outlives us, writes into its own log, and is ready when it answers',
  'cli/frame/unread-stdin.ts': 'it asks about our own stdin, which the program must inherit',
  'fleet/spawn.ts': 'a coordinator or an agent outlives us and writes into its own log',
}

const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))
function importsOf(file: string): string[] {
  return [...readFileSync(join(src, file), 'utf8').matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map(
    (match) => match[1]!,
  )
}
function roomOf(file: string): string {
  return file.includes('/') ? file.slice(0, file.indexOf('/')) : 'index'
}

function broken(judge: (file: string, target: string) => string | null): string[] {
  return files.flatMap((file) =>
    importsOf(file).flatMap((spec) => {
      const target = spec.startsWith('.') ? relative(src, resolve(join(src, dirname(file)), spec)) : spec
      const verdict = judge(file, target)
      return verdict === null ? [] : [`${file} imports ${spec}: ${verdict}`]
    }),
  )
}

test('imports go downwards only, and rooms of the same number do not know each other', () => {
  expect(
    broken((file, target) => {
      if (!target.includes('/') || !(roomOf(target) in RANK) || ASSEMBLY.some((place) => place.test(file)))
        return null
      const [from, to] = [roomOf(file), roomOf(target)]
      if (from === to || from === 'index') return null
      if (RANK[from]! < RANK[to]!) return 'upwards'
      if (RANK[from] === RANK[to] && RANK[from] !== 0) return 'sideways'
      return null
    }),
  ).toEqual([])
})

test('core imports protocol and nothing else: no I/O, no clock, no randomness', () => {
  expect(
    broken((file, target) =>
      roomOf(file) !== 'core' || /^(core|protocol)\//.test(target) ? null : 'core is pure',
    ),
  ).toEqual([])
  const impure = files.filter(
    (file) =>
      roomOf(file) === 'core' &&
      /\b(Date\.now|new Date\(\)|Math\.random|performance\.|process\.|setTimeout|setInterval)\b/.test(
        readFileSync(join(src, file), 'utf8'),
      ),
  )
  expect(impure).toEqual([])
})

test('one file alone imports a wrapped package, types too', () => {
  expect(
    broken((file, target) =>
      target in OWNER_OF && !OWNER_OF[target]!.includes(file)
        ? `only ${OWNER_OF[target]!.join(', ')} may`
        : null,
    ),
  ).toEqual([])
})

test('a program is started by system/run.ts, or by a file that has a reason not to', () => {
  const importers = files.filter((file) => importsOf(file).includes('node:child_process'))
  expect(importers.toSorted()).toEqual(Object.keys(SPAWNS).toSorted())
})

/** Files that read /proc, or import the file that does; each with the reason. */
const READS_PROC: Record<string, string> = {
  'system/proc.ts': 'it owns reading processes',
  'system/descriptors.ts': 'how many descriptors are free; without it they are not counted',
  'system/interfaces.ts': 'the default route, for an agent; without it there is none',
  'process/capacity.ts': 'cores, memory and cgroups of a node',
  'process/cgroup.ts': 'the cgroup of the agent',
  'process/ports.ts': 'the range of ephemeral ports; without it nothing is skipped',
  'fleet/spawn.ts': 'descriptors that `up` inherited',
  'system/exact-env.ts': 'bytes of variables and arguments; without it they are as Node has them',
  'system/working-directory.ts': 'the name of a directory that was removed; without it it is /',
  'system/shell-state.ts': 'limits and umask of the caller’s shell; without it none are taken along',
}
/** They are asked by what only uses a fleet, and answer without a /proc too. */
const ASKED_ANYWHERE = ['system/exact-env.ts', 'system/shell-state.ts', 'system/working-directory.ts']

test('/proc is read by named files alone, and nothing that only uses a fleet reaches one of them', () => {
  const readers = files.filter((file) => /['"`]\/proc\b/.test(readFileSync(join(src, file), 'utf8')))
  expect(readers.toSorted()).toEqual(Object.keys(READS_PROC).toSorted())

  // `commands.ts` loads each command when it is typed: the commands are roots of their own. So does `nodes`
  // with `nodes invite` and `nodes revoke`, which are for the fleet's owner
  const users = files.filter(
    (file) => file === 'index.ts' || (roomOf(file) === 'cli' && !ASSEMBLY.some((place) => place.test(file))),
  )
  const reached = new Set(users)
  for (const file of reached)
    if (!file.endsWith('/commands.ts') && !/\/nodes-(invite|revoke)\.ts$/.test(file))
      for (const spec of importsOf(file))
        if (spec.startsWith('.')) reached.add(relative(src, resolve(join(src, dirname(file)), spec)))
  expect([...reached].filter((file) => file in READS_PROC && !ASKED_ANYWHERE.includes(file))).toEqual([])
  expect(reached.size).toBeGreaterThan(50)
})

test('a command that uses a fleet imports client alone', () => {
  expect(
    broken((file, target) =>
      roomOf(file) === 'cli' &&
      !ASSEMBLY.some((place) => place.test(file)) &&
      /^(transport|process|backends|actors|fleet|core)\//.test(target)
        ? 'commands are built on client'
        : null,
    ),
  ).toEqual([])
})

test('there are no default exports', () => {
  expect(files.filter((file) => /^export default/m.test(readFileSync(join(src, file), 'utf8')))).toEqual([])
})
