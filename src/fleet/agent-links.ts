/**
 * An agent's two connections to the bus, and the credential that both use: control, and logs, so that control
 * never waits behind them. A renewed credential comes with new connections, before the old ones are left.
 */
import { agentConnectionName } from '../protocol/names.ts'
import { systemClock, type Clock } from '../system/clock.ts'
import type { Credentials } from '../system/contexts.ts'
import type { Bus } from '../transport/bus.ts'
import { connectRenewable, type RenewableBus } from '../transport/nats/bus.ts'
import type { ComponentLog } from './component-log.ts'
import { askForRenewal, keepCredential } from './renewal.ts'
import { logAway, reachOptions, unlessAborted } from './run-component.ts'

export interface LinksConfig {
  /** of the bus; several with commas */
  url: string
  fleet: string
  node: string
  /** asked again and again: one that was replaced is taken */
  credentials: () => Promise<Credentials>
  /** keep a renewed one; absent: none is asked for */
  saveCredentials?: (credentials: Credentials) => Promise<void>
  clock?: Clock
  signal: AbortSignal
  /** give up when the bus was not reached for so long, ms; null: never */
  connectTimeoutMs?: number | null
}

export interface AgentLinks {
  bus: Bus
  logBus: Bus
  /** counts the control connections so far */
  link(): number
  close(): Promise<void>
}

/**
 * Waits for a bus that takes the credential.
 *
 * @returns null when the signal came first
 * @throws {Fault} CONN when the bus was not reached in time, SETUP when the server is too old
 */
export async function connectAgent(
  config: LinksConfig,
  incarnation: string,
  log: ComponentLog,
): Promise<AgentLinks | null> {
  const { url, fleet, node, credentials, saveCredentials, signal, clock = systemClock } = config
  let link = 1
  let buses: RenewableBus[] = []
  const names = (): string[] => [
    agentConnectionName(node, incarnation, link),
    `troupe-logs/${node}/${incarnation}`,
  ]
  const keeper = keepCredential(await credentials(), {
    clock,
    log,
    read: credentials,
    ...(saveCredentials !== undefined && { write: saveCredentials }),
    ask: (asking) => askForRenewal(asking, { servers: url, fleet, node }),
    async onRenewed() {
      if (buses.length === 0) return
      link++
      await Promise.all(buses.map((bus, i) => bus.renew(names()[i]!)))
    },
  })
  const reach = reachOptions(config, () => Promise.resolve(keeper.current()))
  const onTrouble = logAway(log, '; workers run on')
  const connected = await unlessAborted(
    signal,
    Promise.all(
      names().map((name, i) => connectRenewable({ ...reach, name, ...(i === 0 && { onTrouble }) })),
    ),
  )
  if (connected === null) {
    keeper.stop()
    return null
  }
  buses = connected
  const [bus, logBus] = buses.map((each) => each.bus) as [Bus, Bus]
  return {
    bus,
    logBus,
    link: () => link,
    async close() {
      keeper.stop()
      await Promise.all([bus.close(), logBus.close()])
    },
  }
}
