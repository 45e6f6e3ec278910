/**
 * One connection to a nats-server: the one file that imports `nats`. Owns connecting and its faults, the
 * state of the link, and the turning of the library's messages into plain ones; requests stand in
 * exchange.ts.
 */
import {
  connect,
  ErrorCode,
  Events,
  headers as natsHeaders,
  type Authenticator,
  type MsgHdrs,
  type NatsConnection,
  type NatsError,
  type Status,
} from 'nats'
import { PAYLOAD_BYTES_MAX } from '../../protocol/codec.ts'
import { Fault, toFault } from '../../protocol/faults.ts'
import type { Clock } from '../../system/clock.ts'
import type { Headers } from '../bus.ts'
import { tooLarge } from '../payload.ts'
import type { CredentialHolder } from './credential-holder.ts'
import { pauseAfter } from './dial.ts'
import { endsOf } from './ends.ts'
import { firstLineOf } from './first-line.ts'
import type { Connection, Violation } from './link.ts'
import { watchLink } from './link-watch.ts'
import { guarded } from './raw-message.ts'
import { tlsFault, tlsOf, type TlsOptions } from './tls.ts'
import { faultOfTry, hostOf, withWords } from './trouble.ts'
import { atLeast, LOWEST, parseVersion } from './versions.ts'

/**
 * A link that is silent this long is given up: ping each 2 s, two may be out. A busy event loop looks dead
 * just the same.
 */
const PING_MS = 2000
const PINGS_OUT_MAX = 2
/** How long a connection that is closed may take to hand over what was published before. */
const LAST_FLUSH_MS = 500

/** So many times as long a try may take of a server that is there and looks for our account. */
const PATIENT = 2.5

/** What it takes to reach a bus. */
export interface Reach {
  addresses: readonly string[]
  name: string
  holder: CredentialHolder
  tryMs: number
  clock: Clock
  /** a server that refuses us is tried less often */
  lastTold: Fault | null
}

/** @throws {Fault} why not, with the address */
export async function tryOnce(
  reach: Reach,
  addresses: readonly string[],
  timeoutMs: number,
  reconnect = true,
): Promise<NatsConnection> {
  const where = addresses.join(', ')
  const { name, holder, clock } = reach
  const began = clock.now()
  try {
    holder.check()
    const tls = tlsOf(addresses, () => holder.ca)
    const { inboxPrefix } = holder
    const connection = await connect({
      servers: [...addresses],
      name,
      authenticator: holder.answer as Authenticator,
      ...(inboxPrefix !== null && { inboxPrefix }),
      // the library takes what Node takes, though its type has less
      ...(tls !== null && { tls: tls as Pick<TlsOptions, 'ca'> }),
      // names are the system's to resolve (its hosts file too), within the time of the try
      resolve: false,
      reconnect,
      maxReconnectAttempts: -1,
      reconnectDelayHandler: () => pauseAfter(reach.lastTold) * (0.7 + 0.6 * Math.random()),
      // a server that restarts may not know this user yet; giving up for good would need a person
      ignoreAuthErrorAbort: true,
      timeout: timeoutMs,
      pingInterval: PING_MS,
      maxPingOut: PINGS_OUT_MAX,
      noEcho: false,
      noAsyncTraces: true,
    })
    await refuseOldServer(connection, addresses)
    return connection
  } catch (error) {
    const untrusted = tlsFault(error, where, holder.ca)
    if (untrusted !== null) throw untrusted
    const tookMs = clock.now() - began
    const at = addresses.length === 1 ? hostOf(addresses[0]!) : null
    const firstLine =
      at === null || !isUnexplained(error) ? null : await firstLineOf(at.host, at.port, timeoutMs)
    // a server that looks for an account takes nearly as long as a try: its answer is worth another one
    if (firstLine !== null && firstLine.serverName !== null && isTimeout(error) && timeoutMs <= reach.tryMs)
      return tryOnce(reach, addresses, PATIENT * reach.tryMs, reconnect)
    const fault = faultOfTry(error, {
      address: where,
      timeoutMs,
      firstLine,
      refused: { ...holder.refused(clock.wall(), firstLine?.serverName ?? null), tookMs },
    })
    const { trouble } = holder
    return Promise.reject(
      fault.code === 'PERMISSION' && trouble !== null && trouble !== fault
        ? withWords(fault, `; no other one can be read: ${trouble.message}`)
        : fault,
    )
  }
}

/** Who is there tells more than the library: it refuses us, is silent, or is no nats-server that it knows. */
function isUnexplained(error: unknown): boolean {
  const { code } = error as { code?: string }
  return code === ErrorCode.AuthorizationViolation || isTimeout(error) || code === undefined
}

function isTimeout(error: unknown): boolean {
  return (error as NatsError).code === ErrorCode.Timeout
}

/** An older server drops options of streams that it does not know in silence. */
async function refuseOldServer(connection: NatsConnection, servers: readonly string[]): Promise<void> {
  const version = connection.info?.version ?? ''
  if (atLeast(parseVersion(version), LOWEST)) return
  await connection.close()
  throw new Fault(
    'SETUP',
    `the bus at ${servers.join(', ')} is nats-server ${version}; Troupe needs ${LOWEST.join('.')} or later`,
    { retryable: false },
  )
}

/** Up or down, or closed by us, and who is told. */
function linkState(
  connection: NatsConnection,
  reach: Reach,
  diagnose: () => Promise<Fault | null>,
  onTrouble: (trouble: Fault) => void,
) {
  const linkListeners = new Set<(connected: boolean) => void>()
  const violationListeners = new Set<(violation: Violation) => void>()
  const where = reach.addresses.join(', ')
  let up = true
  let closed = false
  const watch = watchLink({
    where,
    holder: reach.holder,
    clock: reach.clock,
    diagnose,
    serverName: () => connection.info?.server_name ?? null,
    tell(fault) {
      reach.lastTold = fault
      onTrouble(fault)
    },
  })
  const setLink = (now: boolean): void => {
    if (up === now) return
    up = now
    if (up) reach.lastTold = null
    for (const listener of linkListeners) listener(now)
  }
  const onClosed = (): void => {
    closed = true
    watch.end()
    setLink(false)
  }
  const onStatus = (status: Status): void => {
    watch.saw(status)
    if (status.type === Events.Disconnect) setLink(false)
    else if (status.type === Events.Reconnect) setLink(true)
    else if (status.type === Events.Error && status.permissionContext)
      for (const listener of violationListeners) listener(status.permissionContext)
  }
  void (async () => {
    for await (const status of connection.status()) onStatus(status)
  })()
  void connection.closed().then(onClosed)
  return {
    where,
    isUp: () => up && !closed,
    isClosed: () => closed,
    onClosed,
    onLink: (listener: (connected: boolean) => void) => listen(linkListeners, listener),
    onViolation: (listener: (violation: Violation) => void) => listen(violationListeners, listener),
    down: (): Fault =>
      new Fault(
        'CONN',
        closed
          ? 'this connection to the bus was closed'
          : (reach.lastTold?.message ?? `the bus at ${where} cannot be reached`),
        { hint: 'is it up? troupe up' },
      ),
  }
}

/**
 * @param diagnose  why the bus is not reached now; null when nothing is in the way
 */
export function wrap(
  connection: NatsConnection,
  reach: Reach,
  diagnose: () => Promise<Fault | null>,
  onTrouble: (trouble: Fault) => void,
): Connection {
  const link = linkState(connection, reach, diagnose, onTrouble)
  const { where, isUp, isClosed, onClosed, onLink, onViolation, down } = link
  const whenUp = <T>(ask: () => Promise<T>): Promise<T> => {
    if (!isUp()) return Promise.reject(down())
    return ask().catch((error: unknown) => {
      throw toFault(error, 'CONN')
    })
  }

  return {
    get connected() {
      return isUp()
    },
    ends: () => (isUp() ? endsOf(connection, connection.info?.host ?? '') : null),
    where,
    inboxPrefix: reach.holder.inboxPrefix,
    get maxPayload() {
      return connection.info?.max_payload ?? 0
    },
    onLink,
    onViolation,
    send: (subject, body, headers, reply) => sendOn(connection, subject, body, headers, reply),
    subscribe(subject, onMessage) {
      if (isClosed()) throw down()
      const subscription = connection.subscribe(subject, { callback: guarded(onMessage) })
      return { unsubscribe: () => subscription.unsubscribe() }
    },
    down,
    flush: () => whenUp(() => connection.flush()),
    roundTripMs: () => whenUp(() => connection.rtt()),
    async close() {
      if (isClosed()) return
      if (isUp()) await lastFlush(connection)
      await connection.close()
      onClosed()
    },
  }
}

function lastFlush(connection: NatsConnection): Promise<unknown> {
  return Promise.race([
    connection.flush().catch(() => undefined),
    new Promise((resolve) => setTimeout(resolve, LAST_FLUSH_MS).unref()),
  ])
}

function sendOn(
  connection: NatsConnection,
  subject: string,
  body: Uint8Array,
  headers: Headers | undefined,
  reply: string | undefined,
): void {
  try {
    connection.publish(subject, body, {
      ...(headers !== undefined && { headers: toNats(headers) }),
      ...(reply !== undefined && { reply }),
    })
  } catch (error) {
    throw (error as NatsError).code === ErrorCode.MaxPayloadExceeded
      ? tooLarge(subject, body.length, connection.info?.max_payload ?? PAYLOAD_BYTES_MAX)
      : toFault(error, 'CONN')
  }
}

/** @returns ends it */
export function listen<T>(set: Set<T>, listener: T): () => void {
  set.add(listener)
  return () => void set.delete(listener)
}

function toNats(headers: Headers): MsgHdrs {
  const result = natsHeaders()
  for (const [key, value] of Object.entries(headers)) result.append(key, value)
  return result
}
