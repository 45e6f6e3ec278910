/**
 * The agent of a fleet whose keys are in this home, in the foreground: its credential is kept there, and
 * minted when it is not there.
 */
import { Fault } from '../protocol/faults.ts'
import { writeCredentials, type Credentials } from '../system/contexts.ts'
import { cacheOf, mendCache } from '../system/paths.ts'
import { assembleAgent, type AgentConfig } from './assemble-agent.ts'
import { ensureKey, keyFile, readKey, readMinter } from './keys.ts'
import type { FleetLayout } from './layout.ts'

export interface AgentOptions extends Omit<
  AgentConfig,
  'fleet' | 'dir' | 'cache' | 'credentials' | 'saveCredentials'
> {
  layout: FleetLayout
  /** owner of the fleet */
  user: string
}

/**
 * Returns when it was told to leave.
 *
 * @throws {Fault} NODE_NOT_FOUND when there is no key for this node and none can be made here; LOCKED when
 * another one has taken its spool; SETUP
 */
export async function runAgent({ layout, user, ...config }: AgentOptions): Promise<void> {
  await mendCache(config.env)
  const owner = { role: 'agent', node: config.node } as const
  const first = await agentKey(layout, owner, user)
  await assembleAgent({
    ...config,
    fleet: layout.fleet,
    dir: layout.dir,
    cache: cacheOf(config.env),
    credentials: async () => (await readKey(layout, owner)) ?? first,
    saveCredentials: (credentials) => writeCredentials(keyFile(layout, owner), credentials),
  })
}

/** @throws {Fault} NODE_NOT_FOUND when there is none and none can be minted here */
async function agentKey(
  layout: FleetLayout,
  owner: { role: 'agent'; node: string },
  user: string,
): Promise<Credentials> {
  if ((await readKey(layout, owner)) === null && (await readMinter(layout)) === null)
    throw new Fault(
      'NODE_NOT_FOUND',
      `there is no credential for node '${owner.node}', and the keys of fleet '${layout.fleet}' are not here: none ` +
        'can be minted',
      { hint: 'on the machine of its owner: troupe up' },
    )
  return ensureKey(layout, owner, user)
}
