/** PATH of a worker, and the file that a program's name means on one. Asks the file system alone. */
import { accessSync, constants } from 'node:fs'
import { join, resolve } from 'node:path'
import type { ForkSpec } from '../protocol/launch/resolved.ts'

/** PATH with `pathPrepend` and the virtual environment in front, as its `activate` would do. */
export function programPath(
  spec: Pick<ForkSpec, 'venv' | 'pathPrepend'>,
  cwd: string,
  path: string | undefined,
): Record<string, string> {
  const { venv, pathPrepend = [] } = spec
  if (venv === undefined && pathPrepend.length === 0) return {}
  const home = venv === undefined ? null : resolve(cwd, venv)
  const first = [
    ...pathPrepend.map((dir) => resolve(cwd, dir)),
    ...(home === null ? [] : [join(home, 'bin')]),
  ]
  return {
    PATH: [...first, ...(path ? [path] : [])].join(':'),
    ...(home !== null && { VIRTUAL_ENV: home }),
  }
}

/** The file that a program's name means on a PATH. */
export function which(program: string, path = ''): string | null {
  return (
    path
      .split(':')
      .filter((dir) => dir !== '')
      .map((dir) => join(dir, program))
      .find(isExecutable) ?? null
  )
}

export function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
