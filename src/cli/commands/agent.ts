/** `troupe agent --node NAME | --credential FILE`: one node agent in the foreground. */
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findContext } from '../../client/context.ts'
import { writeBundle } from '../../fleet/agent-bundle.ts'
import { homeLayout } from '../../fleet/home.ts'
import { joinFleet } from '../../fleet/join-fleet.ts'
import { readNodeCredential } from '../../fleet/node-credential.ts'
import { runAgent } from '../../fleet/run-agent.ts'
import { Fault } from '../../protocol/faults.ts'
import { cacheOf, homeOf } from '../../system/paths.ts'
import { verb, type CliCommand } from '../frame/command.ts'
import type { Io } from '../frame/io.ts'
import { CONNECT_TIMEOUT, durationOption } from '../frame/options.ts'
import { untilInterrupted } from '../frame/signals.ts'
import { version } from '../frame/version.ts'

interface Flags {
  node?: string
  credential?: string
  bundle?: string
  local?: string
  address?: string
  connectTimeout?: number
}

export const command: CliCommand = {
  name: 'agent',
  summary: 'run one node agent here, in the foreground; SIGTERM leaves its workers',
  register(program, io) {
    verb(program, 'agent', command.summary)
      .option('--node <name>', 'a node of the fleet of this home, by its name; a new one gets a key')
      .option(
        '--credential <file>',
        'join the fleet that made this file (troupe nodes invite); a newer one at the same path is taken',
      )
      .option(
        '--bundle <dir>',
        'write there what a machine without Node needs to run an agent, and start none',
      )
      .option('--local <dir>', 'with --credential: where this machine keeps the spool; default: TROUPE_LOCAL')
      .option(
        '--address <where>',
        'what peers are told: an address, an interface, or the address in a CIDR block; default: this end of the link to the bus',
      )
      .option('--connect-timeout <time>', CONNECT_TIMEOUT, durationOption)
      .action((flags: Flags) =>
        flags.bundle === undefined ? agent(io, flags) : bundle(io, flags.bundle, flags),
      )
  },
}

/** In a bundle the program is this file. */
function ownFile(): string {
  const file = fileURLToPath(import.meta.url)
  if (file.endsWith('.cjs')) return file
  throw new Fault('SETUP', 'this is no built command line', { hint: 'npm run build' })
}

async function bundle(io: Io, dir: string, { node, credential }: Flags): Promise<void> {
  if (node !== undefined || credential !== undefined)
    throw new Fault('USAGE', '--bundle starts no agent: it goes without --node and --credential')
  const shims = join(cacheOf(io.env), 'shim')
  const { program, written, needs } = await writeBundle(resolve(io.cwd, dir), ownFile(), shims, io.env)
  if (io.json) io.printJson({ program, written, needs })
  else io.stdout(`${program}\n`)
  if (!written) io.stderr('it was there already, with this very content')
  if (needs !== null) io.stderr(`the other machine has to have ${needs}`)
  io.stderr(`next, on the other machine: ${program} --credential FILE`)
}

async function agent(io: Io, flags: Flags): Promise<void> {
  const { node, credential, local, address, connectTimeout } = flags
  if ((node === undefined) === (credential === undefined))
    throw new Fault(
      'USAGE',
      node === undefined ? 'which node?' : '--node and --credential exclude each other',
      {
        hint: 'a node of your own fleet: troupe agent --node NAME; one of another: troupe agent --credential FILE',
      },
    )
  if (credential === undefined && local !== undefined)
    throw new Fault('USAGE', '--local goes with --credential', {
      hint: 'a fleet of this home keeps all in one place: set TROUPE_LOCAL',
    })
  if (credential !== undefined && io.context !== undefined)
    throw new Fault('USAGE', '--context and --credential exclude each other: the file names its bus')
  const env = io.env as NodeJS.ProcessEnv
  const common = {
    env,
    version,
    connectTimeoutMs: connectTimeout ?? null,
    ...(address !== undefined && { address }),
  }
  if (credential !== undefined) {
    const path = resolve(io.cwd, credential)
    const invitation = await readNodeCredential(path)
    return joinFleet({
      ...common,
      path,
      invitation,
      ...(local !== undefined && { local: resolve(io.cwd, local) }),
      signal: untilInterrupted(),
    })
  }
  const context = await findContext({
    home: homeOf(io.env),
    ...(io.context !== undefined && { context: io.context }),
  })
  await runAgent({
    ...common,
    signal: untilInterrupted(),
    layout: homeLayout(env, context.fleet),
    node: node!,
    url: context.url,
    user: context.user,
  })
}
