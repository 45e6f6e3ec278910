/** `troupe coordinator`: one in the foreground; a second one of a fleet stands by. */
import { findContext } from '../../client/context.ts'
import { homeLayout } from '../../fleet/home.ts'
import { runCoordinator } from '../../fleet/run-coordinator.ts'
import { homeOf } from '../../system/paths.ts'
import { verb, type CliCommand } from '../frame/command.ts'
import { durationOption } from '../frame/options.ts'
import { untilInterrupted } from '../frame/signals.ts'
import { version } from '../frame/version.ts'

export const command: CliCommand = {
  name: 'coordinator',
  summary: 'run a coordinator here, in the foreground; a second one stands by',
  register(program, io) {
    verb(program, 'coordinator', command.summary)
      .option('--idle-end <time>', 'take the fleet down after so long without runs', durationOption)
      .action(async ({ idleEnd }: { idleEnd?: number }) => {
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
          version,
          signal,
        })
      })
  },
}
