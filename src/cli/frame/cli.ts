/**
 * From words to a command and an exit code. Owns unknown words (nearest, exit 2) and how a
 * failure is said: message and hint on stderr, with `--json` the fault's body as one JSON line there; stdout
 * stays empty, and no stack is shown.
 */
import { CommanderError } from 'commander'
import { CATALOGUE, Fault, toFault } from '../../protocol/faults.ts'
import { nearest } from '../../protocol/names.ts'
import { isEscaped, shownWord } from '../../system/exact-env.ts'
import { ALIASES, COMMANDS } from './commands.ts'
import type { Io } from './io.ts'
import { renderFault } from '../render/fault.ts'
import { rootHelp } from './help.ts'
import { rootCommand } from './root.ts'
import { version } from './version.ts'

/** @returns the exit code */
export async function runCli(argv: readonly string[], io: Io): Promise<number> {
  const typed = argv.find((word) => !word.startsWith('-'))
  const name = typed === undefined ? undefined : (ALIASES[typed] ?? typed)
  try {
    const changed = argv.find(isEscaped)
    if (changed !== undefined)
      throw new Fault(
        'USAGE',
        `the argument '${shownWord(changed)}' holds bytes that are no UTF-8; no launch and no order can carry them`,
      )
    const first = argv[0]
    if (first === '--version' || first === '-V') {
      io.stdout(`${version}\n`)
      return 0
    }
    if (first === '--help' || first === '-h' || (name === 'help' && argv.length === 1)) {
      io.stdout(rootHelp())
      return 0
    }
    if (name === undefined)
      throw first === undefined
        ? new Fault('USAGE', 'which command?', { hint: 'which there are: troupe --help' })
        : new Fault('USAGE', `unknown option '${first}'`, { hint: 'troupe --help' })
    const verb = name === 'help' ? argv[argv.indexOf('help') + 1]! : name
    if (!Object.hasOwn(COMMANDS, verb)) {
      const near = nearest(
        verb,
        Object.keys(COMMANDS).filter((word) => !word.startsWith('_')),
      )
      throw new Fault('USAGE', `'${verb}' is no command${near === null ? '' : `; did you mean '${near}'?`}`, {
        hint: 'which there are: troupe --help',
      })
    }
    const program = rootCommand(io)
    const { command } = await COMMANDS[verb]!.load()
    command.register(program, io, COMMANDS)
    await program.parseAsync(
      name === 'help' ? [verb, '--help'] : argv.toSpliced(argv.indexOf(typed!), 1, verb),
      { from: 'user' },
    )
    return io.exitCode
  } catch (error) {
    io.status(null)
    if (error instanceof CommanderError && error.exitCode === 0) return 0
    // what cannot be read as a command line still says how its fault is to be told; what stands behind -- is
    // somebody else's
    io.json ||= argv.slice(0, argv.includes('--') ? argv.indexOf('--') : undefined).includes('--json')
    const fault = error instanceof CommanderError ? usageFault(error) : toFault(error)
    await renderFault(io, fault)
    if (
      !(error instanceof CommanderError) &&
      !(error instanceof Fault) &&
      io.env['TROUPE_DEBUG'] &&
      error instanceof Error
    )
      io.stderr(error.stack ?? '', { always: true })
    const code = CATALOGUE[fault.code].exit
    // of these two a 1 would be read as the child's own
    return code === 1 && (name === 'run' || name === 'wait') ? 125 : code
  }
}

function usageFault(error: CommanderError): Fault {
  const [first, suggestion] = error.message.replace(/^error: /, '').split('\n')
  const near = suggestion?.match(/\(Did you mean (?:one of )?(.+)\?\)/)?.[1]
  return new Fault('USAGE', `${first}${near === undefined ? '' : `; did you mean '${near}'?`}`, {
    hint: 'add --help for what there is',
  })
}
