/** `troupe agent --node NAME`: one node agent in the foreground. */
import { findContext } from '../../client/context.ts'
import { homeLayout } from '../../fleet/home.ts'
import { runAgent } from '../../fleet/run-agent.ts'
import { homeOf } from '../../system/paths.ts'
import { verb, type CliCommand } from '../frame/command.ts'
import { untilInterrupted } from '../frame/signals.ts'
import { version } from '../frame/version.ts'

export const command: CliCommand = {
  name: 'agent',
  summary: 'run one node agent here, in the foreground; SIGTERM leaves its workers',
  register(program, io) {
    verb(program, 'agent', command.summary)
      .requiredOption('--node <name>', 'name of the node; a new one gets a key')
      .option(
        '--address <where>',
        'what peers are told: an address, an interface, or the address in a CIDR block; default: this end of the link to the bus',
      )
      .action(async ({ node, address }: { node: string; address?: string }) => {
        const signal = untilInterrupted()
        const context = await findContext({
          home: homeOf(io.env),
          ...(io.context !== undefined && { context: io.context }),
        })
        const env = io.env as NodeJS.ProcessEnv
        await runAgent({
          layout: homeLayout(env, context.fleet),
          node,
          ...(address !== undefined && { address }),
          url: context.url,
          user: context.user,
          env,
          version,
          signal,
        })
      })
  },
}
