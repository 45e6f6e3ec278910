/** An agent that joins a fleet of another machine by a credential file, with a spool of its own here. */
import { join } from 'node:path'
import { Fault } from '../protocol/faults.ts'
import type { Credentials } from '../system/contexts.ts'
import { cacheOf, localOf, mendCache } from '../system/paths.ts'
import { assembleAgent, type AgentConfig } from './assemble-agent.ts'
import { readNodeCredential, type NodeCredential } from './node-credential.ts'

export interface JoinOptions extends Pick<
  AgentConfig,
  'env' | 'address' | 'version' | 'signal' | 'connectTimeoutMs'
> {
  /** path of the credential file; a newer one there is taken */
  path: string
  /** what was in it */
  invitation: NodeCredential
  /** instead of TROUPE_LOCAL */
  local?: string
}

/**
 * Returns when the agent was told to leave.
 *
 * @throws {Fault} what assembleAgent throws
 */
export async function joinFleet({ path, invitation, local, ...config }: JoinOptions): Promise<void> {
  const { url, fleet, fleetId, node } = invitation
  await mendCache(config.env)
  await assembleAgent({
    ...config,
    url,
    fleet,
    node,
    // two fleets of one name do not meet here
    dir: join(local ?? localOf(config.env), `${fleet}@${fleetId}`),
    cache: cacheOf(config.env),
    credentials: () => renewed(path, invitation),
  })
}

/** The file may have been replaced. What it was for stays. */
async function renewed(path: string, known: NodeCredential): Promise<Credentials> {
  const found = await readNodeCredential(path)
  for (const key of ['fleetId', 'node', 'url'] as const)
    if (found[key] !== known[key])
      throw new Fault('PERMISSION', `'${path}' ${OTHER[key]}: '${found[key]}'`, {
        hint: 'start this agent anew to join there',
      })
  return found.credentials
}

const OTHER = {
  fleetId: 'is of another fleet now',
  node: 'is of another node now',
  url: 'has another address of the bus now',
} as const
