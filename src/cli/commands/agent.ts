/** `troupe agent --node NAME | --credential FILE`: one node agent in the foreground. */
import { resolve } from 'node:path'
import { findContext } from '../../client/context.ts'
import { homeLayout } from '../../fleet/home.ts'
import { joinFleet } from '../../fleet/join-fleet.ts'
import { readNodeCredential } from '../../fleet/node-credential.ts'
import { runAgent } from '../../fleet/run-agent.ts'
import { Fault } from '../../protocol/faults.ts'
import { homeOf } from '../../system/paths.ts'
import { verb, type CliCommand } from '../frame/command.ts'
import type { Io } from '../frame/io.ts'
import { CONNECT_TIMEOUT, durationOption } from '../frame/options.ts'
import { untilInterrupted } from '../frame/signals.ts'
import { version } from '../frame/version.ts'

interface Flags {
  node?: string
  credential?: string
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
      .option('--local <dir>', 'with --credential: where this machine keeps the spool; default: TROUPE_LOCAL')
      .option(
        '--address <where>',
        'what peers are told: an address, an interface, or the address in a CIDR block; default: this end of the link to the bus',
      )
      .option('--connect-timeout <time>', CONNECT_TIMEOUT, durationOption)
      .action((flags: Flags) => agent(io, flags))
  },
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
