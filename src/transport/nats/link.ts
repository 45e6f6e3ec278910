/**
 * What the JetStream half of the NATS bus asks of its connection half: raw
 * messages with their status, and one request with any number of replies. Internal to the NATS bus; actors
 * know bus.ts alone.
 */
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
