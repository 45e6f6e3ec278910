/**
 * Connecting the library to a real bus: where the concrete transport is handed in. Beside index.ts, which
 * exports all of the library, so that the command line does not load what it does not use (YAML, patterns).
 */
import { findConnection, type ConnectOptions } from './client/context.ts'
import { troupeOn, type Troupe } from './client/troupe.ts'
import { messengerOn } from './transport/messenger.ts'
import { connectNats } from './transport/nats/bus.ts'

/**
 * Connect to a fleet: the context in use, the one that is named, or (with url, fleet, user and credentials)
 * none.
 *
 * @throws {Fault} CONN when there is no context or no bus, PERMISSION when it refuses the credential
 */
export async function connect(options: ConnectOptions = {}): Promise<Troupe> {
  const { url, fleet, user, credentials } = await findConnection(options)
  const { runsOf, onChoice, connectTimeoutMs, onTrouble } = options
  const bus = await connectNats({
    servers: url,
    credentials,
    name: `troupe client ${user}`,
    ...(connectTimeoutMs !== undefined && { waitMs: connectTimeoutMs }),
    ...(onTrouble !== undefined && { onTrouble }),
  })
  return troupeOn({ messenger: messengerOn(bus, fleet), user, runsOf, onChoice })
}
