/**
 * Which Python a PATH has for torch, and which torch that is, by files alone: a launch can be looked at
 * wherever it is typed, and to import torch takes seconds. What files do not tell is not known here.
 */
import { readdirSync, readFileSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { ForkSpec } from '../protocol/launch/resolved.ts'
import { cacheOf, type Env } from './paths.ts'
import { isExecutable, which } from './program-path.ts'

/**
 * The interpreter to run torch with: the one that `torchrun` on PATH names in its first line, else `python`
 * or `python3`. A Python in `venv` or `pathPrepend` is meant, also where a torchrun of another stands behind.
 *
 * @param wholePath PATH of the worker, with those two in front
 * @returns null when set-up or prefix decide what is on PATH (a virtual environment, pixi), which nobody can
 * know before
 */
export function findTorchPython(
  spec: Pick<ForkSpec, 'setup' | 'prefix' | 'venv' | 'pathPrepend'>,
  wholePath: string | undefined,
): string | null {
  if (spec.setup !== null || spec.prefix.length > 0) return null
  const named = (spec.pathPrepend?.length ?? 0) + (spec.venv === undefined ? 0 : 1)
  const front = wholePath?.split(':').slice(0, named).join(':')
  const isMeant = ['torchrun', 'python', 'python3'].some((program) => which(program, front) !== null)
  const path = isMeant ? front : wholePath
  const torchrunFile = which('torchrun', path)
  const python =
    torchrunFile === null ? null : /^#!\s*(\/\S*python[\d.]*)\s*$/.exec(firstLine(torchrunFile))?.[1]
  if (torchrunFile !== null && python === undefined) return null
  return python ?? which('python', path) ?? which('python3', path) ?? 'python3'
}

/** A document that says which Python is meant gets no other. */
export function saysWhich(spec: Pick<ForkSpec, 'venv' | 'pathPrepend' | 'env'>): boolean {
  return spec.venv !== undefined || spec.pathPrepend !== undefined || spec.env['PATH'] !== undefined
}

/** @returns the newest Python with torch that the set-up of a checkout has made, or was given; else null */
export function setUpPython(env: Env): string | null {
  const dir = join(cacheOf(env), 'python')
  const made = namesIn(dir)
    .filter((name) => /^torch-\d+\.\d+-v\d+$/.test(name))
    .toSorted((a, b) => b.localeCompare(a, 'en', { numeric: true }))
    .map((name) => join(dir, name, 'bin/python'))
  return (
    [env['TROUPE_PYTHON'] ?? '', ...made].find((python) => python.startsWith('/') && isExecutable(python)) ??
    null
  )
}

function firstLine(file: string): string {
  return readFileSync(file, 'latin1').split('\n', 1)[0]!
}

export interface TorchRelease {
  version: string
  /** from 2.12 on; an older one kills its ranks after its own 30 s */
  readsShutdownTimeout: boolean
}

/**
 * @param env  of the worker
 * @returns null where no torch is found among the packages of this Python, or its files do not say
 */
export function torchRelease(python: string, env: Env): TorchRelease | null {
  for (const packages of packagesOf(python, env)) {
    const read = (...parts: string[]): string | null => textOf(join(packages, 'torch', ...parts))
    const version = /^__version__\s*(?::[^=]*)?=\s*['"]([^'"+]+)/m.exec(read('version.py') ?? '')?.[1]
    if (version === undefined) continue
    const launcher = read('distributed', 'launcher', 'api.py')
    return launcher === null
      ? null
      : { version, readsShutdownTimeout: launcher.includes('TORCH_ELASTIC_SHUTDOWN_TIMEOUT') }
  }
  return null
}

/**
 * In PYTHONPATH, of the environment that the file stands in, then, unless that is a virtual one of its own,
 * of the user and of the Python that it is a link to.
 */
function packagesOf(python: string, env: Env): string[] {
  const [own, real] = [python, realOf(python)].map((file) => dirname(dirname(file))) as [string, string]
  const virtual = textOf(join(own, 'pyvenv.cfg'))
  const isAlone = virtual !== null && !/^include-system-site-packages\s*=\s*true/im.test(virtual)
  const versions = new Set([own, real].flatMap((home) => namesIn(join(home, 'lib'))).filter(isVersion))
  const usersBase = env['PYTHONUSERBASE'] || join(env['HOME'] ?? '/', '.local')
  const users = env['PYTHONNOUSERSITE'] ? [] : [usersBase]
  // Debian's pip installs for all users there
  const others = [...users, real, ...(real === '/usr' ? ['/usr/local'] : [])]
  const homes = new Set([own, ...(isAlone ? [] : others)])
  return [
    ...(env['PYTHONPATH'] ?? '').split(':').filter((dir) => dir !== ''),
    ...[...homes].flatMap((home) =>
      [...versions].flatMap((name) =>
        ['site-packages', 'dist-packages'].map((kind) => join(home, 'lib', name, kind)),
      ),
    ),
  ]
}

function isVersion(name: string): boolean {
  return /^python3(\.\d+)?$/.test(name)
}

function realOf(file: string): string {
  try {
    return realpathSync(file)
  } catch {
    return file
  }
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir)
  } catch {
    return []
  }
}

function textOf(file: string): string | null {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return null
  }
}
