/**
 * From options to a connection: which credential, how long to wait for a bus, and who is told why it is not
 * reached. The connection itself is connection.ts'.
 */
import { toFault, type Fault } from '../../protocol/faults.ts'
import { systemClock, type Clock } from '../../system/clock.ts'
import { tryOnce, wrap, type Reach } from './connection.ts'
import { holdCredentials, type CredentialSource } from './credential-holder.ts'
import { dial } from './dial.ts'
import type { Connection } from './link.ts'
import { togetherOf } from './trouble.ts'

export interface NatsOptions {
  /** addresses; several in one text are told apart by commas */
  servers: string | string[]
  /** a function is asked before each try and while the link is down: a renewed one is taken */
  credentials: CredentialSource
  /** shown by the server's monitoring, and in its advisory when this connection ends */
  name: string
  /** how long to go on trying until there is a server, ms; Infinity: for ever; default 0: fail at once */
  waitMs?: number
  /** the longest that one try may take, ms */
  connectTimeoutMs?: number
  /** told why the bus is not reached, at once and then each 10 s: CONN, or PERMISSION for the credential */
  onTrouble?(trouble: Fault): void
  /** ends the waiting for a first server */
  signal?: AbortSignal
  clock?: Clock
}

/** How long one try may take. */
const TRY_MS = 2000

/**
 * @throws {Fault} CONN when there is no server, PERMISSION when it refuses the credential, SETUP when it is
 * too old
 */
export async function openConnection(options: NatsOptions): Promise<Connection> {
  const { waitMs = 0, connectTimeoutMs: tryMs = TRY_MS, onTrouble = () => {} } = options
  const { signal, clock = systemClock } = options
  const addresses = [options.servers].flat().flatMap((text) => text.split(',').map((one) => one.trim()))
  const holder = await holdCredentials(options.credentials)
  const reach: Reach = { addresses, name: options.name, holder, tryMs, clock, lastTold: null }
  const connection = await dial({
    attempt: async (timeoutMs) => {
      await holder.renew()
      return tryOnce(reach, addresses, timeoutMs)
    },
    diagnose: async (fault) => (addresses.length === 1 ? fault : ((await diagnose(reach)) ?? fault)),
    // a refused credential may be renewed; a server that is too old stays so
    passes: ({ code }) => code === 'CONN' || (code === 'PERMISSION' && holder.canChange),
    tell: onTrouble,
    clock,
    waitMs,
    tryMs,
    signal,
  })
  holder.letIn(connection.info?.server_name ?? null)
  return wrap(connection, reach, () => diagnose(reach), onTrouble)
}

/** Why each address is not reached now; null when one of them is. */
async function diagnose(reach: Reach): Promise<Fault | null> {
  const faults = await Promise.all(
    reach.addresses.map((address) =>
      tryOnce({ ...reach, name: `troupe: why is ${reach.name} away` }, [address], reach.tryMs, false).then(
        (probe) => probe.close().then(() => null),
        toFault,
      ),
    ),
  )
  const known = faults.filter((fault) => fault !== null)
  return known.length < faults.length ? null : togetherOf(known)
}

