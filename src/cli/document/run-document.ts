/**
 * The document of `troupe run [flags] -- CMD`: one role, `main`. With `--shape` it is a torchrun role and CMD
 * is what torchrun runs. Pure.
 */
import { basename } from 'node:path'
import { Fault } from '../../protocol/faults.ts'
import { LAUNCH_NAME_MAX, RUN_WORDS, toName } from '../../protocol/names.ts'
import { fromHere } from './caller-env.ts'

export interface RunFlags {
  name?: string
  nodes?: number
  shape?: string
  env?: string[]
  cwd?: string
  gpus?: number
  cpus?: number
  memory?: string
  backend?: string
}

/**
 * @param here  the environment that `--env NAME` takes NAME from
 * @throws {Fault} USAGE
 */
export function runDocument(
  argv: readonly string[],
  flags: RunFlags,
  here: Readonly<Record<string, string | undefined>> = {},
): Record<string, unknown> {
  if (flags.shape !== undefined && flags.nodes !== undefined)
    throw new Fault(
      'USAGE',
      `--shape ${flags.shape} says how many nodes already; --nodes ${flags.nodes} cannot stand beside it`,
    )
  const env = Object.fromEntries((flags.env ?? []).map((setting) => settingOf(setting, here)))
  const resources = {
    ...(flags.gpus !== undefined && { gpus: flags.gpus }),
    ...(flags.cpus !== undefined && { cpus: flags.cpus }),
    ...(flags.memory !== undefined && { memory: flags.memory }),
  }
  return {
    apiVersion: 'troupe/v1',
    // `run -- CMD` is named after the program
    name: flags.name ?? nameAfter(argv[0]!),
    ...(flags.backend !== undefined && { backend: flags.backend }),
    cwd: flags.cwd ?? '.',
    roles: {
      main: {
        kind: flags.shape === undefined ? 'task' : 'torchrun',
        ...(flags.shape !== undefined && { shape: flags.shape }),
        ...(flags.nodes !== undefined && { replicas: flags.nodes }),
        ...(Object.keys(env).length > 0 && { env }),
        ...(Object.keys(resources).length > 0 && { resources }),
        command: [...argv],
      },
    },
  }
}

/** `NAME=VALUE` as it is written, `NAME` with its value here: that is no template, whatever it holds. */
function settingOf(setting: string, here: Readonly<Record<string, string | undefined>>): [string, string] {
  const at = setting.indexOf('=')
  if (at === 0 || setting === '')
    throw new Fault(
      'USAGE',
      `'${setting}' is no setting; write --env NAME=VALUE, or --env NAME to take it from here`,
    )
  if (at > 0) return [setting.slice(0, at), setting.slice(at + 1)]
  const value = here[setting]
  if (value === undefined)
    throw new Fault('USAGE', `'${setting}' is not set here, from where --env ${setting} takes it`, {
      hint: `write --env ${setting}=VALUE, or export it first`,
    })
  return [setting, fromHere(setting, value).replaceAll('${{', () => '$${{')]
}

/** last(1) is a program, and `last` is no name of a run. */
function nameAfter(program: string): string {
  const name = toName(basename(program), LAUNCH_NAME_MAX)
  return RUN_WORDS.includes(name) ? `run-${name}` : name
}
