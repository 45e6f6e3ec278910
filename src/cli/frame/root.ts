/**
 * The root command: its output, and the flags that every command has. Owns no command: each registers itself
 * on it.
 */
import { Command } from 'commander'
import { EVERYBODY } from '../../client/match-runs.ts'
import type { Io } from './io.ts'

interface GlobalFlags {
  json?: boolean
  quiet?: boolean
  context?: string
  user?: string | true
  connectTimeout?: number
}

export function rootCommand(io: Io): Command {
  return new Command('troupe')
    .exitOverride()
    .enablePositionalOptions()
    .showSuggestionAfterError(true)
    .configureOutput({
      writeOut: (text) => io.stdout(text),
      // said by renderFault, once and in our form
      writeErr: () => {},
      getOutHelpWidth: () => Math.min(io.columns, 100),
      getOutHasColors: () => false,
    })
    .hook('preAction', (_, action) => {
      const options = action.optsWithGlobals<GlobalFlags>()
      io.json = options.json === true
      io.quiet = options.quiet === true
      io.context = options.context
      io.connectTimeoutMs = options.connectTimeout
      io.runsOf = options.user === true ? EVERYBODY : options.user
    })
}
