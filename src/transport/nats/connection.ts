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
  type Msg,
  type MsgHdrs,
  type NatsConnection,
  type NatsError,
  type Status,
} from 'nats'
import { PAYLOAD_BYTES_MAX } from '../../protocol/codec.ts'
import { Fault, toFault } from '../../protocol/faults.ts'
import type { LinkEnds } from '../../protocol/host.ts'
import type { Credentials } from '../../system/contexts.ts'
import type { Headers, Subscription } from '../bus.ts'
import { tooLarge } from '../payload.ts'
import { answererOf } from './auth.ts'
import { endsOf } from './ends.ts'
import type { RawMessage } from './link.ts'
import { atLeast, LOWEST, parseVersion } from './versions.ts'

export interface NatsOptions {
  /** addresses; several in one text are told apart by commas */
  servers: string | string[]
  /** null: none, for servers that ask for none (never ours) */
  credentials: Credentials | null
  /** shown by the server's monitoring, and in its advisory when this connection ends */
  name: string
  /** go on trying until there is a server, instead of failing at once */
  waitOnFirstConnect?: boolean
  connectTimeoutMs?: number
}

export interface Violation {
  operation: string
  subject: string
}

/** A connection to the bus in plain values. */
export interface Connection {
  readonly connected: boolean
  /** the servers' addresses, for people */
  readonly where: string
  /** the largest body that the server takes, bytes */
  readonly maxPayload: number
  /** null while the link is down */
  ends(): LinkEnds | null
  /** called with each change of the link */
  onLink(listener: (connected: boolean) => void): () => void
  onViolation(listener: (violation: Violation) => void): () => void
  /** @throws {Fault} REQUEST_INVALID when it is too large, CONN when this connection was closed */
  send(subject: string, body: Uint8Array, headers?: Headers, reply?: string): void
  /** @throws {Fault} CONN when this connection was closed */
  subscribe(subject: string, onMessage: (message: RawMessage) => void): Subscription
  /** why nothing can be sent now */
  down(): Fault
  flush(): Promise<void>
  roundTripMs(): Promise<number>
  close(): Promise<void>
}

/**
 * A link that is silent this long is given up: ping each 2 s, two may be out. A busy event loop looks dead
 * just the same.
 */
const PING_MS = 2000
const PINGS_OUT_MAX = 2
const RECONNECT_MS = 100
/** How long a connection that is closed may take to hand over what was published before. */
const LAST_FLUSH_MS = 500
const NO_HEADERS: Headers = Object.freeze({})

/**
 * @throws {Fault} CONN when there is no server, PERMISSION when it refuses the credential, SETUP when it is
 * too old
 */
export async function openConnection(options: NatsOptions): Promise<Connection> {
  const { credentials, name, waitOnFirstConnect = false, connectTimeoutMs = 2000 } = options
  const servers = [options.servers].flat().flatMap((text) => text.split(',').map((one) => one.trim()))
  const connection = await connect({
    servers,
    name,
    ...(credentials !== null && {
      authenticator: answererOf(credentials) as Authenticator,
      inboxPrefix: credentials.inboxPrefix,
    }),
    ...(credentials?.ca !== undefined && { tls: { ca: credentials.ca } }),
    maxReconnectAttempts: -1,
    reconnectTimeWait: RECONNECT_MS,
    reconnectJitter: RECONNECT_MS,
    waitOnFirstConnect,
    // a server that restarts may not know this user yet; giving up for good would need a person
    ignoreAuthErrorAbort: true,
    timeout: connectTimeoutMs,
    pingInterval: PING_MS,
    maxPingOut: PINGS_OUT_MAX,
    noEcho: false,
    noAsyncTraces: true,
  }).catch((error: NatsError) => {
    throw connectFault(error, servers)
  })
  await refuseOldServer(connection, servers)
  return wrap(connection, servers)
}

function connectFault(error: NatsError, servers: string[]): Fault {
  return error.code === ErrorCode.AuthorizationViolation || error.code === ErrorCode.AuthenticationExpired
    ? new Fault('PERMISSION', `the bus at ${servers.join(', ')} refuses this credential`, { cause: error })
    : new Fault(
        'CONN',
        `the bus at ${servers.join(', ')} cannot be reached (${error.code ?? error.message})`,
        { hint: 'start one with: troupe up', cause: error },
      )
}

/** An older server drops options of streams that it does not know in silence. */
async function refuseOldServer(connection: NatsConnection, servers: string[]): Promise<void> {
  const version = connection.info?.version ?? ''
  if (atLeast(parseVersion(version), LOWEST)) return
  await connection.close()
  throw new Fault(
    'SETUP',
    `the bus at ${servers.join(', ')} is nats-server ${version}; Troupe needs ${LOWEST.join('.')} or later`,
    { retryable: false },
  )
}

function wrap(connection: NatsConnection, servers: string[]): Connection {
  const linkListeners = new Set<(connected: boolean) => void>()
  const violationListeners = new Set<(violation: Violation) => void>()
  const where = servers.join(', ')
  let up = true
  let closed = false
  const setLink = (now: boolean): void => {
    if (up === now) return
    up = now
    for (const listener of linkListeners) listener(now)
  }
  const onClosed = (): void => {
    closed = true
    setLink(false)
  }
  const onStatus = (status: Status): void => {
    if (status.type === Events.Disconnect) setLink(false)
    else if (status.type === Events.Reconnect) setLink(true)
    else if (status.type === Events.Error && status.permissionContext)
      for (const listener of violationListeners) listener(status.permissionContext)
  }
  void (async () => {
    for await (const status of connection.status()) onStatus(status)
  })()
  void connection.closed().then(onClosed)

  const down = (): Fault =>
    new Fault(
      'CONN',
      closed ? 'this connection to the bus was closed' : `the bus at ${where} cannot be reached`,
      { hint: 'is it up? troupe up' },
    )
  const whenUp = <T>(ask: () => Promise<T>): Promise<T> => {
    if (!up || closed) return Promise.reject(down())
    return ask().catch((error: unknown) => {
      throw toFault(error, 'CONN')
    })
  }

  return {
    get connected() {
      return up && !closed
    },
    ends: () => (up && !closed ? endsOf(connection, connection.info?.host ?? '') : null),
    where,
    get maxPayload() {
      return connection.info?.max_payload ?? 0
    },
    onLink: (listener) => listen(linkListeners, listener),
    onViolation: (listener) => listen(violationListeners, listener),
    send: (subject, body, headers, reply) => sendOn(connection, subject, body, headers, reply),
    subscribe(subject, onMessage) {
      if (closed) throw down()
      const subscription = connection.subscribe(subject, { callback: guarded(onMessage) })
      return { unsubscribe: () => subscription.unsubscribe() }
    },
    down,
    flush: () => whenUp(() => connection.flush()),
    roundTripMs: () => whenUp(() => connection.rtt()),
    async close() {
      if (closed) return
      if (up) await lastFlush(connection)
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

function listen<T>(set: Set<T>, listener: T): () => void {
  set.add(listener)
  return () => void set.delete(listener)
}

/**
 * An exception here is a programmer's error: it must end the process, not the client's reading of its socket.
 */
function guarded(onMessage: (message: RawMessage) => void) {
  return (error: NatsError | null, message: Msg): void => {
    if (error) return
    try {
      onMessage(rawOf(message))
    } catch (thrown) {
      queueMicrotask(() => {
        throw thrown
      })
    }
  }
}

function toNats(headers: Headers): MsgHdrs {
  const result = natsHeaders()
  for (const [key, value] of Object.entries(headers)) result.append(key, value)
  return result
}

function fromNats(headers: MsgHdrs | undefined): Headers {
  if (headers === undefined) return NO_HEADERS
  const result: Record<string, string> = {}
  // the server puts its own last: a stored message may carry headers of the same name
  for (const [key, values] of headers) result[key] = values.at(-1) ?? ''
  return result
}

function rawOf(message: Msg): RawMessage {
  return {
    subject: message.subject,
    body: message.data,
    headers: fromNats(message.headers),
    status: message.headers?.code ?? 0,
    statusText: message.headers?.description ?? '',
    reply: message.reply || undefined,
  }
}
