/**
 * The Bus on NATS: publications, requests and subscriptions over one connection (connection.ts), and
 * JetStream beside them (jetstream.ts).
 */
import { randomBytes } from 'node:crypto'
import { toFault } from '../../protocol/faults.ts'
import type { Bus, Message } from '../bus.ts'
import { isTooLarge } from '../payload.ts'
import { exchangeOn } from './exchange.ts'
import { jetStreamOn } from './jetstream.ts'
import type { Connection, Link, RawMessage } from './link.ts'
import { openConnection, type NatsOptions } from './open-connection.ts'
import { renewable } from './renewable.ts'

/**
 * @throws {Fault} CONN when there is no server, PERMISSION when it refuses the credential, SETUP when it is
 * too old
 */
export async function connectNats(options: NatsOptions): Promise<Bus> {
  return busOn(await openConnection(options))
}

/** A bus whose credential can be exchanged while it serves. */
export interface RenewableBus {
  bus: Bus
  /**
   * Connect with the credential as it is now, and leave the old connection after that.
   *
   * @param name  of the new connection
   * @throws {Fault} as connectNats; the old connection stays then
   */
  renew(name: string): Promise<void>
}

/** @throws {Fault} as connectNats */
export async function connectRenewable(options: NatsOptions): Promise<RenewableBus> {
  const connection = renewable(await openConnection(options))
  return {
    bus: busOn(connection),
    renew: (name) => connection.renew(() => openConnection({ ...options, name, waitMs: 0 })),
  }
}

function busOn(connection: Connection): Bus {
  const link = linkOn(connection, connection.inboxPrefix ?? '_INBOX')
  return {
    get connected() {
      return connection.connected
    },
    ends: connection.ends,
    onLink: connection.onLink,
    onPermissionViolation: connection.onViolation,
    publish: link.publish,
    request: (subject, body, options) => requestOn(link, subject, body, options),
    gather: (subject, body, options) => gatherOn(link, subject, body, options),
    subscribe: (subject, onMessage) =>
      connection.subscribe(subject, (raw) => void (isStoredAnswer(raw) || onMessage(messageOf(link, raw)))),
    ...jetStreamOn(link),
    flush: connection.flush,
    roundTripMs: connection.roundTripMs,
    close: connection.close,
  }
}

function linkOn(connection: Connection, inboxPrefix: string): Link {
  return {
    get connected() {
      return connection.connected
    },
    onLink: connection.onLink,
    publish(subject, body, headers, reply) {
      // the client would keep a publication while the link is down, and send it at some later time, or never
      if (!connection.connected) return
      try {
        connection.send(subject, body, headers, reply)
      } catch (error) {
        // closing is the other reason: a publication is lost then, as with a link that is down
        if (isTooLarge(error)) throw error
      }
    },
    exchange: exchangeOn(connection, inboxPrefix),
    inbox(onMessage) {
      const subject = `${inboxPrefix}.${randomBytes(9).toString('base64url')}.0`
      return { subject, ...connection.subscribe(subject, onMessage) }
    },
  }
}

async function requestOn(link: Link, ...request: Parameters<Bus['request']>): Promise<Message> {
  const [subject, body, options] = request
  let answer: Message | undefined
  await link.exchange(subject, body, options, (raw) => {
    answer = answerOf(raw)
    return true
  })
  return answer!
}

async function gatherOn(
  link: Link,
  ...[subject, body, { count, ...options }]: Parameters<Bus['gather']>
): Promise<Message[]> {
  const answers: Message[] = []
  await link
    .exchange(subject, body, options, (raw) => {
      answers.push(answerOf(raw))
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
}

/** An answer of Direct Get: whoever asked chose its subject, so on a subject of ours it is nobody's word. */
function isStoredAnswer(raw: RawMessage): boolean {
  return raw.headers['Nats-Stream'] !== undefined
}

function answerOf({ subject, body, headers }: RawMessage): Message {
  return { subject, body, headers, respond: () => undefined }
}

function messageOf(link: Link, { subject, body, headers, reply }: RawMessage): Message {
  return {
    subject,
    body,
    headers,
    ...(reply !== undefined && { reply }),
    respond(body, headers) {
      if (reply !== undefined) link.publish(reply, body, headers)
    },
  }
}
