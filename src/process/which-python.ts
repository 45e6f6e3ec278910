/** A program lacks a module: its Python is named, and beside it the one that may have been meant. */
import { basename, resolve } from 'node:path'
import { which } from '../system/program-path.ts'
import type { ExecFile } from './exec-file.ts'

export function lacksModule(line: string): boolean {
  return /^(ModuleNotFoundError: |\S*python[\d.]*: )No module named /.test(line)
}

/**
 * @param callerPath  PATH of the shell that launched, where it came along
 * @returns a last line of ours; null for what is no Python
 */
export function whichPython(
  program: string,
  { cwd, env }: Pick<ExecFile, 'cwd' | 'env'>,
  callerPath: string | undefined,
): string | null {
  const name = basename(program)
  if (!/^python[\d.]*$/.test(name)) return null
  const found = program.includes('/') ? resolve(cwd, program) : which(program, env['PATH'])
  if (found === null) return null
  const callers = callerPath === undefined ? null : which(name, callerPath)
  if (callers !== null && callers !== found)
    return `troupe: '${name}' is ${found}; in the shell that launched it is ${callers}`
  return `troupe: '${name}' is ${found}${callers === null ? ', by the PATH of the agent or the document' : ''}`
}
