/** The local fleet of this home: its name, its owner, and the program that starts its components. */
import { userInfo } from 'node:os'
import { toName } from '../protocol/names.ts'
import { homeOf, localOf } from '../system/paths.ts'
import { layoutOf, type FleetLayout } from './layout.ts'

const FLEET = 'main'

export function homeLayout(env: NodeJS.ProcessEnv, fleet = FLEET): FleetLayout {
  return layoutOf(homeOf(env), localOf(env), fleet)
}

/** The Unix name, with other characters as `-`. */
export function ownName(): string {
  return toName(userInfo().username)
}

/** How this very command line is run again; a debugger's port is not taken along. */
export function ownProgram(): string[] {
  return [
    process.execPath,
    ...process.execArgv.filter((option) => !option.startsWith('--inspect')),
    process.argv[1]!,
  ]
}
