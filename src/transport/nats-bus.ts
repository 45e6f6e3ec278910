/**
 * The Bus on NATS: the one file that imports `nats` (keys too). Owns the connection, the private inbox, and
 * the turning of errors into faults; what is JetStream's stands in jetstream.ts.
 *
 * The client library's own request is not used: it leaves requests waiting when the link breaks, and an
 * exception in a subscriber's callback ends its reading of the socket for good.
 */
import {
  connect,
  ErrorCode,
  Events,
  headers as natsHeaders,
  nkeys,
  type Authenticator,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
  type NatsError,
  type Status,
} from 'nats'
import { randomBytes } from 'node:crypto'
import { Fault, toFault } from '../protocol/faults.ts'
import type { Credentials } from '../system/contexts.ts'
import type { Bus, Headers, Message, Subscription } from './bus.ts'
import { signerOf } from './nkey-sign.ts'

import { jetStreamOn } from './jetstream.ts'
import { parseVersion, type Link, type RawMessage, type ServerVersion } from './link.ts'

export interface NatsOptions {
  servers: string | string[]
  /** null: none, for servers that ask for none (never ours) */
  credentials: Credentials | null
  /** shown by the server's monitoring, and in its advisory when this connection ends */
  name: string
  /** go on trying until there is a server, instead of failing at once */
  waitOnFirstConnect?: boolean
  connectTimeoutMs?: number
}

/**
 * A link that is silent this long is given up: ping each 2 s, two may be out. A busy event loop looks dead
 * just the same.
 */
const PING_MS = 2000
const PINGS_OUT_MAX = 2
const RECONNECT_MS = 100

interface Pending {
  subject: string
  onReply(message: RawMessage): boolean
  resolve(): void
  reject(fault: Fault): void
  timer: NodeJS.Timeout
}

/** @throws {Fault} CONN when there is no server, PERMISSION when it refuses the credential */
export async function connectNats(options: NatsOptions): Promise<Bus> {
  const { credentials, name, waitOnFirstConnect = false, connectTimeoutMs = 2000 } = options
  const servers = Array.isArray(options.servers) ? [...options.servers] : [options.servers]
  const connection = await connect({
    servers,
    name,
    ...(credentials !== null && {
      authenticator: authenticatorOf(credentials),
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
  return busOn(connection, credentials?.inboxPrefix ?? '_INBOX', servers)
}

/** A new NKey of a user: the seed is the secret, the public key goes into the server's configuration. */
export function createUserKey(): { seed: string; publicKey: string } {
  const pair = nkeys.createUser()
  return { seed: new TextDecoder().decode(pair.getSeed()), publicKey: pair.getPublicKey() }
}
export function publicKeyOf(seed: string): string {
  return signerOf(seed).publicKey
}

function authenticatorOf(credentials: Credentials): Authenticator {
  const signer = signerOf(credentials.nkeySeed)
  const { jwt } = credentials
  return (nonce = '') =>
    ({
      sig: signer.sign(nonce),
      ...(jwt === undefined ? { nkey: signer.publicKey } : { jwt }),
    }) as ReturnType<Authenticator>
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

function busOn(connection: NatsConnection, inboxPrefix: string, servers: string[]): Bus {
  const where = servers.join(', ')
  const own = `${inboxPrefix}.${randomBytes(9).toString('base64url')}`
  const pending = new Map<string, Pending>()
  const linkListeners = new Set<(connected: boolean) => void>()
  const violationListeners = new Set<(violation: { operation: string; subject: string }) => void>()
  let connected = true
  let closed = false
  let tokens = 0
  let inboxRefused = false
  let version: ServerVersion = parseVersion(connection.info?.version ?? '')

  const down = (): Fault =>
    new Fault(
      'CONN',
      closed ? 'this connection to the bus was closed' : `the bus at ${where} cannot be reached`,
      { hint: 'is it up? troupe up' },
    )

  const settle = (token: string): Pending | undefined => {
    const entry = pending.get(token)
    if (entry !== undefined) {
      pending.delete(token)
      clearTimeout(entry.timer)
    }
    return entry
  }
  const rejectAll = (fault: () => Fault): void => {
    for (const token of pending.keys()) settle(token)?.reject(fault())
  }
  const setLink = (now: boolean): void => {
    if (connected === now) return
    connected = now
    if (now) version = parseVersion(connection.info?.version ?? '')
    else
      rejectAll(
        () =>
          new Fault(
            'TIMEOUT',
            `the link to the bus at ${where} broke before the answer came; whether it was done is not known`,
            { data: { reason: 'link' } },
          ),
      )
    for (const listener of linkListeners) listener(now)
  }

  connection.subscribe(`${own}.*`, {
    callback: guarded((error, message) => {
      if (error) return
      const token = message.subject.slice(own.length + 1)
      const entry = pending.get(token)
      if (entry === undefined) return
      const raw = rawOf(message)
      if (raw.status === 503 && raw.body.length === 0)
        settle(token)?.reject(
          new Fault('CONN', `nobody serves '${entry.subject}'`, { data: { reason: 'no-responders' } }),
        )
      else if (entry.onReply(raw)) settle(token)?.resolve()
    }),
  })

  /**
   * The server names the subject that it refused, not the message: the oldest request on that subject is the
   * one.
   */
  const refuse = (operation: string, subject: string): void => {
    const fault = new Fault(
      'PERMISSION',
      `the server refuses ${operation === 'publish' ? 'publishing on' : 'subscribing to'} '${subject}' with this credential`,
      { data: { operation, subject } },
    )
    if (operation === 'subscription' && subject.startsWith(`${own}.`)) {
      inboxRefused = true
      rejectAll(() => fault)
    } else if (operation === 'publish') {
      for (const [token, entry] of pending)
        if (entry.subject === subject) return void settle(token)?.reject(fault)
    }
  }
  const onStatus = (status: Status): void => {
    if (status.type === Events.Disconnect) setLink(false)
    else if (status.type === Events.Reconnect) setLink(true)
    else if (status.type === Events.Error && status.permissionContext) {
      const { operation, subject } = status.permissionContext
      refuse(operation, subject)
      for (const listener of violationListeners) listener({ operation, subject })
    }
  }
  void (async () => {
    for await (const status of connection.status()) onStatus(status)
  })()
  void connection.closed().then(() => {
    closed = true
    setLink(false)
  })

  const send = (subject: string, body: Uint8Array, headers?: Headers, reply?: string): void =>
    connection.publish(subject, body, {
      ...(headers !== undefined && { headers: toNats(headers) }),
      ...(reply !== undefined && { reply }),
    })

  const link: Link = {
    get connected() {
      return connected && !closed
    },
    onLink: (listener) => listen(linkListeners, listener),
    get version() {
      return version
    },
    publish(subject, body, headers, reply) {
      // what is published while the link is down would sit in the client and go out at some later time, or
      // never
      if (!link.connected) return
      try {
        send(subject, body, headers, reply)
      } catch {
        // too large or closing: a publication that matters is acknowledged, and its asker hears of it
      }
    },
    exchange(subject, body, { headers, timeoutMs }, onReply) {
      return new Promise<void>((resolve, reject) => {
        if (!link.connected) return reject(down())
        if (inboxRefused)
          return reject(
            new Fault('PERMISSION', `the server refuses the inbox '${inboxPrefix}.>' to this credential`),
          )
        const token = (tokens++).toString(36)
        const timer = setTimeout(
          () =>
            settle(token)?.reject(
              new Fault(
                'TIMEOUT',
                `no answer on '${subject}' within ${timeoutMs} ms; whether it was done is not known`,
              ),
            ),
          timeoutMs,
        )
        pending.set(token, { subject, onReply, resolve, reject, timer })
        try {
          send(subject, body, headers, `${own}.${token}`)
        } catch (error) {
          settle(token)
          const tooLarge = (error as NatsError).code === ErrorCode.MaxPayloadExceeded
          reject(
            tooLarge
              ? new Fault(
                  'REQUEST_INVALID',
                  `${body.length} bytes for '${subject}'; the server takes at most ${connection.info?.max_payload}`,
                )
              : toFault(error, 'CONN'),
          )
        }
      })
    },
    inbox(onMessage) {
      const subject = `${inboxPrefix}.${randomBytes(9).toString('base64url')}.0`
      const subscription = connection.subscribe(subject, {
        callback: guarded((error, message) => void (error || onMessage(rawOf(message)))),
      })
      return { subject, unsubscribe: () => subscription.unsubscribe() }
    },
  }

  const messageOf = (message: Msg): Message => ({
    subject: message.subject,
    body: message.data,
    headers: fromNats(message.headers),
    ...(message.reply && { reply: message.reply }),
    respond: (body, headers) => {
      if (message.reply) link.publish(message.reply, body, headers)
    },
  })
  return {
    get connected() {
      return link.connected
    },
    onLink: link.onLink,
    onPermissionViolation: (listener) => listen(violationListeners, listener),
    publish: (subject, body, headers) => link.publish(subject, body, headers),

    async request(subject, body, options) {
      let answer: Message | undefined
      await link.exchange(subject, body, options, (raw) => {
        answer = { subject: raw.subject, body: raw.body, headers: raw.headers, respond: () => undefined }
        return true
      })
      return answer!
    },

    async gather(subject, body, { count, ...options }) {
      const answers: Message[] = []
      await link
        .exchange(subject, body, options, (raw) => {
          answers.push({
            subject: raw.subject,
            body: raw.body,
            headers: raw.headers,
            respond: () => undefined,
          })
          return answers.length === count
        })
        .catch((error: unknown) => {
          const fault = toFault(error)
          const over =
            (fault.code === 'TIMEOUT' && fault.data['reason'] === undefined) ||
            fault.data['reason'] === 'no-responders'
          if (!over) throw fault
        })
      return answers
    },

    subscribe(subject, onMessage): Subscription {
      if (closed) throw down()
      const subscription = connection.subscribe(subject, {
        callback: guarded(
          (error, message) => void (error || isStoredAnswer(message) || onMessage(messageOf(message))),
        ),
      })
      return { unsubscribe: () => subscription.unsubscribe() }
    },

    ...jetStreamOn(link),

    async flush() {
      if (!link.connected) throw down()
      await connection.flush().catch((error: unknown) => {
        throw toFault(error, 'CONN')
      })
    },
    async roundTripMs() {
      if (!link.connected) throw down()
      return connection.rtt().catch((error: unknown) => {
        throw toFault(error, 'CONN')
      })
    },
    async close() {
      if (closed) return
      if (link.connected)
        await Promise.race([
          connection.flush().catch(() => undefined),
          new Promise((resolve) => setTimeout(resolve, 500).unref()),
        ])
      await connection.close()
      closed = true
      setLink(false)
    },
  }
}

/** An answer of Direct Get: whoever asked chose its subject, so on a subject of ours it is nobody's word. */
function isStoredAnswer(message: Msg): boolean {
  return message.headers?.has('Nats-Stream') === true
}

function listen<T>(set: Set<T>, listener: T): () => void {
  set.add(listener)
  return () => void set.delete(listener)
}

/**
 * An exception here is a programmer's error: it must end the process, not the client's reading of its socket.
 */
function guarded(callback: (error: NatsError | null, message: Msg) => void) {
  return (error: NatsError | null, message: Msg): void => {
    try {
      callback(error, message)
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
const NO_HEADERS: Headers = Object.freeze({})

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
