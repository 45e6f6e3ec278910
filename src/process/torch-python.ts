/**
 * Which Python runs torch for a worker. PATH of the worker decides; where its Python has no torch, the one
 * that set-up made serves, unless the document says which Python is meant. Owns the look into a Python.
 */
import { Fault } from '../protocol/faults.ts'
import type { ForkSpec } from '../protocol/launch/resolved.ts'
import { findTorchPython, saysWhich, setUpPython } from '../system/find-torch.ts'
import type { Env } from '../system/paths.ts'
import { isExecutable, which } from '../system/program-path.ts'
import { tryProgram } from '../system/run.ts'

const LOOK_MS = 20_000
const NO_TORCH = 41
// torch itself is not imported: that takes seconds. A folder `torch` without anything in it has no origin
const LOOK =
  'import importlib.util as u, sys; s = u.find_spec("torch"); ' +
  `sys.exit(0 if s and s.origin else ${NO_TORCH})`

/** Pythons that had torch once: a start pays for the look only once. */
const have = new Set<string>()

/** Only a clear no is a no: a Python that cannot be asked says itself what is wrong. */
async function lacksTorch(python: string, env: Record<string, string>, cwd: string): Promise<boolean> {
  if (have.has(python)) return false
  const { fault } = await tryProgram([python, '-c', LOOK], { env, cwd, timeoutMs: LOOK_MS })
  if (fault === null) have.add(python)
  return fault !== null && fault.data['exit'] === NO_TORCH
}

/** A torchrun outlives its Python: an environment was moved, or made anew with another one. */
function isGone(python: string): boolean {
  return python.startsWith('/') && !isExecutable(python)
}

export interface TorchSearch {
  spec: Pick<ForkSpec, 'role' | 'setup' | 'prefix' | 'venv' | 'pathPrepend' | 'env' | 'callerEnv'>
  /** of the worker */
  env: Record<string, string>
  cwd: string
  /** of the agent: where set-up keeps its Python */
  agentEnv: Env
}

/**
 * @returns null when set-up or prefix decide, or PATH has a torchrun that is no Python script
 * @throws {Fault} WORKER_CONFIG, with the paths, when no Python has torch, or that of torchrun is not there
 */
export async function torchPython({ spec, env, cwd, agentEnv }: TorchSearch): Promise<string | null> {
  const found = findTorchPython(spec, env['PATH'])
  if (found === null || !(isGone(found) || (await lacksTorch(found, env, cwd)))) return found
  // whose torchrun is on PATH has said which Python is meant, too
  const setUp = saysWhich(spec) || isGone(found) ? null : setUpPython(agentEnv)
  if (setUp !== null && !(await lacksTorch(setUp, env, cwd))) return setUp
  const ofShell = { setup: spec.setup, prefix: spec.prefix }
  const callers =
    spec.callerEnv?.['PATH'] === undefined ? null : findTorchPython(ofShell, spec.callerEnv['PATH'])
  const meant =
    callers !== null &&
    callers !== found &&
    !isGone(callers) &&
    !(await lacksTorch(callers, { ...env, ...spec.callerEnv }, cwd))
      ? `; that of the shell that launched, ${callers}, has it`
      : ''
  const fault = isGone(found)
    ? `${which('torchrun', env['PATH'])} on the PATH of ${spec.role} is of ${found}, which is not there`
    : `${found}, the Python on the PATH of ${spec.role}, has no torch`
  throw new Fault('WORKER_CONFIG', `${fault}${meant}`, {
    data: { python: found, callers },
    hint: 'install torch there, or name the environment that has it: venv: DIR',
  })
}

export interface TorchOfAgent {
  /** that runs torchrun roles which name none; null: there is none */
  python: string | null
  /** on PATH, where it is not that one: it has no torch */
  without: string | null
}

/** As workers have it that say nothing and are launched from the shell of the agent. */
export async function torchOfAgent(env: Env, cwd: string): Promise<TorchOfAgent> {
  const found = findTorchPython({ setup: null, prefix: [] }, env['PATH'])
  const defined = Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  )
  if (found === null) return { python: 'torchrun', without: null }
  // a name alone is not on PATH
  if (found.startsWith('/') && !isGone(found) && !(await lacksTorch(found, defined, cwd)))
    return { python: found, without: null }
  const setUp = setUpPython(env)
  const serves = setUp !== null && !(await lacksTorch(setUp, defined, cwd))
  return { python: serves ? setUp : null, without: found }
}
