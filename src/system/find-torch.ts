/**
 * Which Python a PATH has for torch, and which torch that is, by files alone: a launch can be looked at
 * wherever it is typed, and to import torch takes seconds. What files do not tell is not known here.
 */
import { readdirSync, readFileSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { ForkSpec } from '../protocol/launch/resolved.ts'
import { which } from './program-path.ts'

/**
 * The interpreter to run torch with: the one that `torchrun` on PATH names in its first line, else `python`
 * or `python3`.
 *
 * @param path PATH of the worker
 * @returns null when set-up or prefix decide what is on PATH (a virtual environment, pixi), which nobody can
 * know before
 */
export function findTorchPython(
  spec: Pick<ForkSpec, 'setup' | 'prefix'>,
  path: string | undefined,
): string | null {
  if (spec.setup !== null || spec.prefix.length > 0) return null
  const torchrunFile = which('torchrun', path)
  const named =
    torchrunFile === null ? null : /^#!\s*(\/\S*python[\d.]*)\s*$/.exec(firstLine(torchrunFile))?.[1]
  if (torchrunFile !== null && named === undefined) return null
  return named ?? which('python', path) ?? which('python3', path) ?? 'python3'
}

function firstLine(file: string): string {
  return readFileSync(file, 'latin1').split('\n', 1)[0]!
}

export interface TorchRelease {
  version: string
  /** from 2.12 on; an older one kills its ranks after its own 30 s */
  readsShutdownTimeout: boolean
}

/** @returns null where no torch is found among the packages of this Python, or its files do not say */
export function torchRelease(python: string): TorchRelease | null {
  for (const packages of packagesOf(python)) {
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

/** Of the environment that the file stands in, then of the Python that it is a link to. */
function packagesOf(python: string): string[] {
  const homes = [python, realOf(python)].map((file) => dirname(dirname(file)))
  return [...new Set(homes)].flatMap((home) =>
    namesIn(join(home, 'lib'))
      .filter((name) => /^python3(\.\d+)?$/.test(name))
      .flatMap((name) => ['site-packages', 'dist-packages'].map((kind) => join(home, 'lib', name, kind))),
  )
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
