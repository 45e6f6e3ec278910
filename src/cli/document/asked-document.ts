/**
 * The document that a command line asks for: of a file (`-f FILE`), or of a command (`[--] COMMAND…`). `run`
 * and `launch` have these flags.
 */
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { Fault } from '../../protocol/faults.ts'
import { isExecutable } from '../../system/program-path.ts'
import type { Io } from '../frame/io.ts'
import { choiceOption, countOption, durationOption, listOption } from '../frame/options.ts'
import type { ReadDocument } from './document.ts'
import { ENV_FROM, type EnvFrom } from './env-from.ts'
import type { RunFlags } from './run-document.ts'

export interface AskedFlags extends RunFlags {
  file?: string
  set?: string[]
  envFrom?: EnvFrom
  key?: string
  timeout?: number
}

/** What `-f` cannot stand beside. */
const OF_A_COMMAND = ['name', 'nodes', 'shape', 'env', 'cwd', 'gpus', 'cpus', 'memory'] as const

export function askedOptions(command: Command): Command {
  return command
    .passThroughOptions()
    .usage('[options] (-f FILE | [--] COMMAND…)')
    .option('-f, --file <file>', 'a launch document, YAML or JSON; - is stdin')
    .option('--set <path=value>', 'set a value of the document (again for more)', listOption)
    .option('--name <name>', 'of the run; default: the program')
    .option('--nodes <n>', 'how many copies', countOption)
    .option('--shape <shape>', 'a torchrun role: nodes x processes per node, such as 2x2')
    .option(
      '--env <name=value>',
      'an environment variable; NAME alone: from here (again for more)',
      listOption,
    )
    .option(
      '--env-from <words>',
      'what workers get of this shell: path, all or none (default: path on the fleet’s machine)',
      choiceOption(ENV_FROM),
    )
    .option('--cwd <dir>', 'default: this directory')
    .option('--gpus <n>', 'leased to each worker', countOption)
    .option('--cpus <n>', 'cores leased to each worker', countOption)
    .option('--memory <size>', 'reserved for each worker')
    .option('--backend <name>', 'where nodes come from')
    .option('--key <key>', 'idempotency key: the same key and document give the same run')
    .option(
      '--timeout <time>',
      'how long to wait for a coordinator; the run itself: --set deadlines.run=TIME',
      durationOption,
    )
}

/** @throws {Fault} USAGE, SPEC_INVALID */
export async function askedDocument(
  io: Io,
  verb: 'run' | 'launch',
  argv: readonly string[],
  flags: AskedFlags,
): Promise<ReadDocument> {
  const { checked, readDocument } = await import('./document.ts')
  if (flags.file !== undefined) {
    if (argv.length > 0)
      throw new Fault('USAGE', `-f ${flags.file} and a command ('${argv[0]}') cannot both be run`)
    const own = OF_A_COMMAND.find((name) => flags[name] !== undefined)
    if (own !== undefined)
      throw new Fault('USAGE', `--${own} is for ${verb} -- COMMAND`, { hint: 'with -f use --set path=value' })
    return readDocument(io, {
      file: flags.file,
      ...(flags.set && { set: flags.set }),
      ...(flags.backend !== undefined && { backend: flags.backend }),
      ...(flags.envFrom !== undefined && { envFrom: flags.envFrom }),
    })
  }
  if (argv.length === 0)
    throw new Fault('USAGE', `${verb} what?`, {
      hint: `troupe ${verb} -f FILE; or a command: troupe ${verb} -- COMMAND`,
    })
  const [word] = argv
  if (argv.length === 1 && /\.(ya?ml|json)$/.test(word!) && !isExecutable(resolve(io.cwd, word!)))
    throw new Fault('USAGE', `'${word}' is a launch document, and no program`, {
      hint: `troupe launch -f ${word}`,
    })
  const { runDocument } = await import('./run-document.ts')
  const { withCallerEnv } = await import('./caller-env.ts')
  const { applySets } = await import('../../protocol/launch/document.ts')
  const document = applySets(runDocument(argv, flags, io.env), flags.set ?? [])
  return checked(io, await withCallerEnv(io, document, flags.envFrom))
}
