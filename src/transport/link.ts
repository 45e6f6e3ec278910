/**
 * What the JetStream half of the NATS bus (jetstream.ts) asks of its connection half (nats-bus.ts): raw
 * messages with their status, and one request with any number of replies. Internal to the NATS bus; actors
 * know bus.ts alone.
 */
import type { Headers, Subscription } from './bus.ts'

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
  /** of the server last spoken to */
  readonly version: ServerVersion
  /** dropped when the link is down; never throws */
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

export type ServerVersion = readonly [major: number, minor: number, patch: number]

/** @returns the numbers of `v2.15.2`, `2.12.0-RC.1`, …; zeros when the text holds none */
export function parseVersion(text: string): ServerVersion {
  const match = /(\d+)\.(\d+)\.(\d+)/.exec(text)
  return match ? [Number(match[1]), Number(match[2]), Number(match[3])] : [0, 0, 0]
}

export function atLeast(version: ServerVersion, wanted: ServerVersion): boolean {
  for (let i = 0; i < 3; i++) if (version[i] !== wanted[i]) return version[i]! > wanted[i]!
  return true
}
