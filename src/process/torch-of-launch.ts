/** Which Python runs the torchrun roles of a launch: the look that a start takes, before there is one. */
import { isFault } from '../protocol/faults.ts'
import type { Launch, Role } from '../protocol/launch/resolved.ts'
import { findTorchPython } from '../system/find-torch.ts'
import type { Env } from '../system/paths.ts'
import { torchPython } from './torch-python.ts'

export interface Place {
  /** of the shell that asks, which is the agent's own or like it */
  env: Env
  cwd: string
  /** PATH of a role's workers; null: nobody can know it here */
  pathOf(role: Role): Promise<string | null>
}

export interface TorchOfLaunch {
  /** one for each role that gets another Python than the one on its PATH, or none */
  notes: string[]
  /** by torchrun role, where it can be known; null: the role cannot start */
  pythons: Record<string, string | null>
}

export async function torchOfLaunch(launch: Launch, place: Place): Promise<TorchOfLaunch> {
  const told: TorchOfLaunch = { notes: [], pythons: {} }
  for (const role of launch.roles.filter(({ kind }) => kind === 'torchrun')) {
    const path = await place.pathOf(role)
    const found = path === null ? null : findTorchPython(role, path)
    if (path === null || found === null) continue
    const { python, why } = await look(launch, role, path, place)
    told.pythons[role.name] = python
    if (python === null) told.notes.push(`role ${role.name} cannot start here: ${why}`)
    else if (python !== found)
      told.notes.push(
        `role ${role.name}: torchrun is run by ${python}, which set-up made: ${found} has no torch`,
      )
  }
  return told
}

async function look(
  { env, callerEnv }: Launch,
  role: Role,
  path: string,
  place: Place,
): Promise<{ python: string; why: null } | { python: null; why: string }> {
  const asked = { ...env, ...role.env }
  const known = Object.entries({ ...place.env, ...callerEnv, ...asked, PATH: path }).filter(
    // a template is filled in at the start
    (entry): entry is [string, string] => entry[1] !== undefined && !entry[1].includes('${{'),
  )
  const spec = { ...role, role: role.name, env: asked, ...(callerEnv !== undefined && { callerEnv }) }
  const cwd = role.cwd ?? place.cwd
  try {
    const search = { spec, env: Object.fromEntries(known), cwd, agentEnv: place.env }
    return { python: (await torchPython(search))!, why: null }
  } catch (error) {
    if (!isFault(error, 'WORKER_CONFIG')) throw error
    return { python: null, why: error.message }
  }
}
