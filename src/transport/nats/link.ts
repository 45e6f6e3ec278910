/**
 * What the JetStream half of the NATS bus asks of its connection half: raw
 * messages with their status, and one request with any number of replies. Internal to the NATS bus; actors
 * know bus.ts alone.
 */
import type { Fault } from '../../protocol/faults.ts'
import type { LinkEnds } from '../../protocol/host.ts'
import type { Headers, Subscription } from '../bus.ts'

export interface RawMessage {
  subject: string
  body: Uint8Array
  headers: Headers
  /** 0 when the message carries none; 503 no responders, 404 none, 408 expired, 409 conflict, 204 end */
  status: number
  statusText: string
  reply: string | undefined
}

export interface Link {
  readonly connected: boolean
  onLink(listener: (connected: boolean) => void): () => void
  /** dropped when the link is down. @throws {Fault} REQUEST_INVALID (too large) */
  publish(subject: string, body: Uint8Array, headers?: Headers, reply?: string): void
  /**
   * Publish with a private reply subject and read replies until `onReply` says that it was the last.
   * @throws {Fault} CONN (down, or nobody serves it), TIMEOUT (no last reply in time, or the link broke: it
   * may have run), PERMISSION, REQUEST_INVALID (too large)
   */
  exchange(
    subject: string,
    body: Uint8Array,
    options: { headers?: Headers; timeoutMs: number },
    onReply: (message: RawMessage) => boolean,
  ): Promise<void>
  /** a private subject of this connection, and what arrives on it */
  inbox(onMessage: (message: RawMessage) => void): Subscription & { subject: string }
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
  /** what its inboxes begin with; null: of no credential */
  readonly inboxPrefix: string | null
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
