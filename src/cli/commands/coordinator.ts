/** `troupe coordinator`: one in the foreground; a second one of a fleet stands by. */
import { findContext } from '../../client/context.ts'
import { homeLayout } from '../../fleet/home.ts'
import { runCoordinator } from '../../fleet/run-coordinator.ts'
import { homeOf } from '../../system/paths.ts'
import { verb, type CliCommand } from '../frame/command.ts'
import { choiceOption, CONNECT_TIMEOUT, durationOption } from '../frame/options.ts'
import { untilInterrupted } from '../frame/signals.ts'
import { version } from '../frame/version.ts'

interface Flags {
  idleEnd?: number
  replicas?: '1' | '3' | '5'
  connectTimeout?: number
}

export const command: CliCommand = {
  name: 'coordinator',
  summary: 'run a coordinator here, in the foreground; a second one stands by',
  register(program, io) {
    verb(program, 'coordinator', command.summary)
      .option('--idle-end <time>', 'take the fleet down after so long without runs', durationOption)
      .option(
        '--replicas <n>',
        'servers of the bus that keep a copy of each stream: 1, 3 or 5 (default: as they are, or 1)',
        choiceOption(['1', '3', '5']),
      )
      .option('--connect-timeout <time>', CONNECT_TIMEOUT, durationOption)
      .action(async ({ idleEnd, replicas, connectTimeout }: Flags) => {
        const signal = untilInterrupted()
        const context = await findContext({
          home: homeOf(io.env),
          ...(io.context !== undefined && { context: io.context }),
        })
        await runCoordinator({
          layout: homeLayout(io.env as NodeJS.ProcessEnv, context.fleet),
          url: context.url,
          user: context.user,
          idleEndMs: idleEnd ?? null,
          replicas: replicas === undefined ? null : Number(replicas),
          version,
          signal,
          connectTimeoutMs: connectTimeout ?? null,
        })
      })
  },
}
