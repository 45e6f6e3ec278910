/**
 * A connection whose credential is exchanged while it serves: the new connection is there, with every
 * subscription, before the old one is left. Its user sees one connection.
 *
 * While both are there the server sends each message to both. A request is handed over once: its reply
 * subject tells its copies apart. An answer is taken from the connection that asked. What has no reply may
 * come twice.
 */
import type { Headers, Subscription } from '../bus.ts'
import { listen } from './connection.ts'
import type { Connection, RawMessage } from './link.ts'

export interface RenewableConnection extends Connection {
  /**
   * Exchange it for one that `open` makes. When that fails the old one stays.
   *
   * @throws {Fault} of `open`, or CONN when the new one broke at once
   */
  renew(open: () => Promise<Connection>): Promise<void>
}

/** Long enough for two beats over the new connection. */
const OVERLAP_MS = 1000

interface Subscribed {
  subject: string
  onMessage(message: RawMessage): void
  inner: Subscription
}

interface Overlap {
  /** the reply subjects of the requests that were handed over */
  handed: Set<string>
  /** over which connection was asked, by reply subject; what is not here was asked before */
  asked: Map<string, Connection>
  old: Connection
}

interface Renewable {
  current: Connection
  readonly inboxPrefix: string
  readonly subscribed: Set<Subscribed>
  readonly linkListeners: Set<(up: boolean) => void>
  readonly violationListeners: Set<Parameters<Connection['onViolation']>[0]>
  overlap: Overlap | null
  renewing: Promise<void>
  closed: boolean
}

export function renewable(first: Connection): RenewableConnection {
  const r: Renewable = {
    current: first,
    inboxPrefix: `${first.inboxPrefix ?? '_INBOX'}.`,
    subscribed: new Set(),
    linkListeners: new Set(),
    violationListeners: new Set(),
    overlap: null,
    renewing: Promise.resolve(),
    closed: false,
  }
  let unhook = hook(r, first)
  const exchange = async (open: () => Promise<Connection>): Promise<void> => {
    const next = await open()
    if (r.closed) return next.close()
    unhook = await take(r, next, unhook)
  }
  return {
    get connected() {
      return r.current.connected
    },
    get where() {
      return r.current.where
    },
    inboxPrefix: first.inboxPrefix,
    get maxPayload() {
      return r.current.maxPayload
    },
    onLink: (listener) => listen(r.linkListeners, listener),
    onViolation: (listener) => listen(r.violationListeners, listener),
    send(subject: string, body: Uint8Array, headers?: Headers, reply?: string) {
      if (reply !== undefined) r.overlap?.asked.set(reply, r.current)
      r.current.send(subject, body, headers, reply)
    },
    subscribe: (subject, onMessage) => subscribe(r, subject, onMessage),
    ends: () => r.current.ends(),
    down: () => r.current.down(),
    flush: () => r.current.flush(),
    roundTripMs: () => r.current.roundTripMs(),
    renew(open) {
      const done = r.renewing.then(() => exchange(open))
      r.renewing = done.catch(() => undefined)
      return done
    },
    async close() {
      r.closed = true
      await r.current.close()
      await r.renewing
    },
  }
}

/** @returns ends the listening to it */
function hook(r: Renewable, connection: Connection): () => void {
  const stops = [
    connection.onLink((up) => {
      for (const listener of r.linkListeners) listener(up)
    }),
    connection.onViolation((violation) => {
      for (const listener of r.violationListeners) listener(violation)
    }),
  ]
  return () => {
    for (const stop of stops) stop()
  }
}

async function take(r: Renewable, next: Connection, unhook: () => void): Promise<() => void> {
  const old = r.current
  const overlap: Overlap = { handed: new Set(), asked: new Map(), old }
  r.overlap = overlap
  const moved = new Map<Subscribed, Subscription>()
  try {
    for (const one of r.subscribed) moved.set(one, receive(r, one, next))
    await next.flush()
  } catch (error) {
    r.overlap = null
    await next.close()
    throw error
  }
  // what came and went meanwhile
  for (const one of r.subscribed) if (!moved.has(one)) moved.set(one, receive(r, one, next))
  for (const [one, inner] of moved)
    if (r.subscribed.has(one)) one.inner = both(one.inner, inner)
    else inner.unsubscribe()
  const wasUp = old.connected
  r.current = next
  unhook()
  const rehooked = hook(r, next)
  if (!wasUp && next.connected) for (const listener of r.linkListeners) listener(true)
  await new Promise((resolve) => setTimeout(resolve, OVERLAP_MS))
  await old.close()
  for (const [one, inner] of moved) one.inner = inner
  // copies of what the old one handed over are still under way on the new one
  await next.flush().catch(() => undefined)
  r.overlap = null
  return rehooked
}

/** While both connections are there. */
function both(old: Subscription, next: Subscription): Subscription {
  return {
    unsubscribe() {
      old.unsubscribe()
      next.unsubscribe()
    },
  }
}

function subscribe(r: Renewable, subject: string, onMessage: (message: RawMessage) => void): Subscription {
  const one: Subscribed = { subject, onMessage, inner: { unsubscribe: () => undefined } }
  one.inner = receive(r, one, r.current)
  r.subscribed.add(one)
  return {
    unsubscribe() {
      r.subscribed.delete(one)
      one.inner.unsubscribe()
    },
  }
}

function receive(r: Renewable, one: Subscribed, connection: Connection): Subscription {
  return connection.subscribe(one.subject, (message) => {
    if (r.overlap === null || isWanted(r, r.overlap, message, connection)) one.onMessage(message)
  })
}

function isWanted(r: Renewable, overlap: Overlap, message: RawMessage, from: Connection): boolean {
  if (message.subject.startsWith(r.inboxPrefix))
    return from === (overlap.asked.get(message.subject) ?? overlap.old)
  if (message.reply === undefined) return true
  if (overlap.handed.has(message.reply)) return false
  overlap.handed.add(message.reply)
  return true
}
