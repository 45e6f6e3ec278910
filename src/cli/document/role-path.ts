/** PATH of a role's workers, as far as it can be known before a launch. */
import type { Launch, Role } from '../../protocol/launch/resolved.ts'
import { programPath } from '../../system/program-path.ts'
import type { Io } from '../frame/io.ts'
import { isHere } from './caller-env.ts'

export type Shell = Pick<Io, 'env' | 'context' | 'cwd'>

/** @returns null where nobody can look: workers of another machine, a PATH that is filled in at the start */
export async function rolePath(shell: Shell, launch: Launch, role: Role): Promise<string | null> {
  if (launch.callerEnv === undefined && !(await isHere(shell))) return null
  const asked = { ...launch.env, ...role.env }
  const path = asked['PATH'] ?? launch.callerEnv?.['PATH'] ?? shell.env['PATH']
  const { PATH = path } = programPath(role, role.cwd ?? shell.cwd, path)
  return PATH === undefined || PATH.includes('${{') ? null : PATH
}
