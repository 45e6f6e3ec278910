/**
 * One node agent, assembled from a plain config: an assembly point. It hands the real bus, clock, spool and
 * shim to the agent's actor, reads no context and no home. A signal makes the agent leave; its workers run
 * on, whatever ends it.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { startNodeAgent, type AgentHandle } from '../actors/agent/node-agent.ts'
import { fileAgentStore } from '../process/agent-store.ts'
import { fileLogStore } from '../process/file-log-store.ts'
import { addressSettings } from '../process/host-choice.ts'
import { createLinuxHost } from '../process/linux-host.ts'
import { buildShim } from '../process/shim/build.ts'
import { Fault } from '../protocol/faults.ts'
import type { LinkEnds } from '../protocol/host.ts'
import { isName } from '../protocol/names.ts'
import { systemClock } from '../system/clock.ts'
import { exactEnv } from '../system/exact-env.ts'
import { ulid } from '../system/ulid.ts'
import type { Bus } from '../transport/bus.ts'
import { announceService } from '../transport/service-discovery.ts'
import { connectAgent, type AgentLinks, type LinksConfig } from './agent-links.ts'
import { componentLog, type ComponentLog } from './component-log.ts'
import { localLayoutOf, prepareLocal } from './layout.ts'
import { announcePresence } from './presence.ts'
import { endOf, logTroubleOf, semantic } from './run-component.ts'

export interface AgentConfig extends LinksConfig {
  /** all that the fleet keeps on this machine, on a local disk: the node's spool is below it */
  dir: string
  /** of what is built once for all fleets */
  cache: string
  env: NodeJS.ProcessEnv
  /** for peers: an address, an interface or a CIDR block; absent: this end of the link to the bus */
  address?: string
  version: string
}

interface AgentParts {
  links: AgentLinks
  incarnation: string
  shim: Awaited<ReturnType<typeof buildShim>>
  log: ComponentLog
}

/**
 * Returns when the agent was told to leave.
 *
 * @throws {Fault} USAGE for a node that has no name, LOCKED when another one has taken its spool, CONN when
 * its bus was not reached in time, SETUP
 */
export async function assembleAgent(config: AgentConfig): Promise<void> {
  const { node, env, credentials } = config
  if (!isName(node))
    throw new Fault('USAGE', `'${node}' is no name of a node`, {
      hint: 'letters, digits, - and _; at most 40',
    })
  await prepareLocal(config.dir)
  const layout = localLayoutOf(config.dir)
  const { dir, spool, caches } = layout.node(node)
  for (const needed of [dir, spool, caches]) await mkdir(needed, { recursive: true, mode: 0o700 })
  // who can have none is told at once
  await credentials()
  const shim = await buildShim(join(config.cache, 'shim'), env)

  const incarnation = ulid()
  const log = componentLog({ component: 'agent', node, incarnation })
  const leave = await announcePresence(layout.presence, 'agent', node)
  try {
    const links = await connectAgent(config, incarnation, log)
    if (links === null) return
    const { why } = await serveNode(config, { links, incarnation, shim, log })
    await links.close()
    if (why === 'superseded') throw new Fault('LOCKED', `another agent has taken node '${node}'`)
  } finally {
    await leave()
  }
}

/** The agent on a bus that it has reached, until its end. */
async function serveNode(
  { dir, fleet, node, url, env, version, signal, address, clock = systemClock }: AgentConfig,
  { links, incarnation, shim, log }: AgentParts,
): Promise<Awaited<AgentHandle['ended']>> {
  const { bus, logBus, link } = links
  const { spool, memory, caches } = localLayoutOf(dir).node(node)
  const host = createLinuxHost({
    spoolDir: spool,
    node,
    agentEnv: { ...exactEnv(env), ...(address !== undefined && addressSettings(address)) },
    link: lastEndsOf(bus),
    shim: shim.argv,
    cacheDir: caches,
    version,
  })
  const agent = await startNodeAgent({
    bus,
    logBus,
    link,
    fleet,
    node,
    incarnation,
    host,
    logs: fileLogStore((forkId) => host.logDir(forkId)),
    store: fileAgentStore(memory),
    clock,
    log,
  })
  const announced = announceService(bus, {
    name: 'troupe-agent',
    version: semantic(version),
    id: incarnation,
    description: `node ${node} of fleet ${fleet}`,
    metadata: { fleet, node },
  })
  logTroubleOf(bus, log)
  log({ msg: 'started', pid: process.pid, shim: shim.kind, url })
  const end = await endOf(agent, signal)
  log({ msg: 'ended', why: end.why })
  announced.unsubscribe()
  return end
}

/** While the link is down the node's address is that of before. */
function lastEndsOf(bus: Bus): () => LinkEnds | null {
  let last: LinkEnds | null = null
  return () => (last = bus.ends() ?? last)
}
