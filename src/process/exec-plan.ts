/**
 * Everything that a fork's program is started with: environment, argv, directory, cgroup. Puts environment.ts
 * and command.ts together; writes nothing.
 */
import { existsSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { Fault } from '../protocol/faults.ts'
import type { Bindings, ForkSpec, PreStop, Probe } from '../protocol/launch/resolved.ts'
import { fillTemplate } from '../protocol/launch/templates.ts'
import { buildCommand } from './command.ts'
import { buildEnvironment } from './environment.ts'
import type { Prepared } from '../protocol/host.ts'
import { fileOf } from './spool.ts'
import { torchPython } from './torch-python.ts'

/**
 * By this variable a process is known as the fork's when its shim is dead. A directory, because fork ids may
 * be the same in two fleets of one machine.
 */
export const MARKER = 'TROUPE_FORK_DIR'

export interface ExecPlan {
  argv: string[]
  env: Record<string, string>
  cwd: string
}

export interface ExecPlanInput {
  spec: ForkSpec
  prepared: Prepared
  bindings: Bindings
  forkDir: string
  node: string
  agentEnv: Readonly<Record<string, string>>
  cacheDir: string
  nodeCores: number
  workersOnNode: number
  shim: readonly string[]
}

/**
 * @throws {Fault} WORKER_CONFIG for a directory that is none, an unknown template, a value that no program
 * can be given
 */
export async function planExec(input: ExecPlanInput): Promise<ExecPlan> {
  const { spec, forkDir } = input
  const env: Record<string, string> = {
    ...buildEnvironment({ ...input, errorFile: fileOf.error(forkDir) }),
    [MARKER]: forkDir,
  }
  const cwd = spec.cwd ?? input.agentEnv['HOME'] ?? homedir()
  if (statSync(cwd, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new Fault('WORKER_CONFIG', `the working directory '${cwd}' is not there on this node`, {
      data: { cwd },
    })
  const venv = spec.venv === undefined ? null : resolve(cwd, spec.venv)
  if (venv !== null && !existsSync(join(venv, 'bin/python')))
    throw new Fault(
      'WORKER_CONFIG',
      `'${venv}' is no virtual environment: it has no bin/python on this node`,
      {
        data: { venv },
      },
    )
  return {
    cwd,
    env,
    argv: buildCommand({
      ...input,
      rankShim: [...input.shim, '--rank', forkDir],
      torchLogDir: join(forkDir, 'torch'),
      setUpFile: fileOf.setUp(forkDir),
      // for torchrun alone: looking into a Python has its price
      python: spec.torchrun === null ? null : await torchPython({ ...input, env, cwd }),
    }),
  }
}

/** Templates of a probe or a pre-stop call, filled in. */
export function fillCall<C extends Probe | PreStop>(
  call: C,
  { spec, prepared, bindings, node }: Pick<ExecPlanInput, 'spec' | 'prepared' | 'bindings' | 'node'>,
): C {
  const context = {
    ports: prepared.ports,
    host: prepared.host,
    index: spec.index,
    attempt: spec.attempt,
    node,
    run: spec.run,
    roles: bindings.roles,
  }
  if (call.kind === 'exec')
    return { ...call, command: call.command.map((word) => fillTemplate(word, context)) }
  return 'path' in call ? { ...call, path: fillTemplate(call.path, context) } : call
}
