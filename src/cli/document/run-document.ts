/**
 * The document of `troupe run [flags] -- CMD`: one role, `main`. With `--shape` it is a torchrun role and CMD
 * is what torchrun runs. Pure.
 */
import { basename } from 'node:path'
import { Fault } from '../../protocol/faults.ts'
import { LAUNCH_NAME_MAX, toName } from '../../protocol/names.ts'

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

/** @throws {Fault} USAGE */
export function runDocument(argv: readonly string[], flags: RunFlags): Record<string, unknown> {
  if (flags.shape !== undefined && flags.nodes !== undefined)
    throw new Fault(
      'USAGE',
      `--shape ${flags.shape} says how many nodes already; --nodes ${flags.nodes} cannot stand beside it`,
    )
  const env: Record<string, string> = {}
  for (const setting of flags.env ?? []) {
    const at = setting.indexOf('=')
    if (at < 1) throw new Fault('USAGE', `'${setting}' is no setting; write --env NAME=VALUE`)
    env[setting.slice(0, at)] = setting.slice(at + 1)
  }
  const resources = {
    ...(flags.gpus !== undefined && { gpus: flags.gpus }),
    ...(flags.cpus !== undefined && { cpus: flags.cpus }),
    ...(flags.memory !== undefined && { memory: flags.memory }),
  }
  return {
    apiVersion: 'troupe/v1',
    // `run -- CMD` is named after the program
    name: flags.name ?? toName(basename(argv[0]!), LAUNCH_NAME_MAX),
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
