/** The fleet that is at home here: its name, its owner, how its parts are started. */
import { userInfo } from 'node:os'
import { toName } from '../protocol/names.ts'
import { homeOf, localOf } from '../system/paths.ts'
import { placesOf, type Places } from './places.ts'

const FLEET = 'main'

export function homePlaces(env: NodeJS.ProcessEnv, fleet = FLEET): Places {
  return placesOf(homeOf(env), localOf(env), fleet)
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
