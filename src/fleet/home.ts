/** The local fleet of this home: its name, its owner, and the program that starts its components. */
import { userInfo } from 'node:os'
import { toName } from '../protocol/names.ts'
import { readContext } from '../system/contexts.ts'
import { homeOf, localOf } from '../system/paths.ts'
import { readMinter } from './keys.ts'
import { layoutOf, type FleetLayout } from './layout.ts'

/** The fleet whose bus is this home's own, and the context that `up` makes of it. */
const FLEET = 'main'
const CONTEXT = 'local'

export function homeLayout(env: NodeJS.ProcessEnv, fleet = FLEET): FleetLayout {
  return layoutOf(homeOf(env), localOf(env), fleet)
}

/** The context that `up` makes of a fleet of this home. */
export function contextOf({ fleet }: FleetLayout): string {
  return fleet === FLEET ? CONTEXT : fleet
}

/** The fleet of this home that a context means; null when its keys are not here. */
export async function layoutOfContext(env: NodeJS.ProcessEnv, name: string): Promise<FleetLayout | null> {
  const home = homeOf(env)
  const fleet = name === CONTEXT ? FLEET : (await readContext(home, name))?.fleet
  if (fleet === undefined) return null
  const layout = homeLayout(env, fleet)
  return contextOf(layout) === name && (fleet === FLEET || (await readMinter(layout)) !== null)
    ? layout
    : null
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
