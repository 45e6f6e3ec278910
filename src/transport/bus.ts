/**
 * The Bus contract: the message bus as actors and clients use it. Implementations: nats/bus.ts, and
 * tests/support/memory-bus (with faults, for the simulator). tests/contracts/bus.contract.ts is the shared
 * suite.
 *
 * 1. Subjects are complete NATS subjects; bodies are bytes; the typed layer above is messenger.ts.
 * 2. `publish` and `respond` may vanish: there is no reconnect buffer. A message that must not be lost goes
 * by `append` or `request`.
 * 3. `request` rejects with Fault CONN when nobody serves the subject or the link is down, TIMEOUT when no
 * answer came, PERMISSION when refused. A timed-out request may have run.
 * 4. `subscribe` calls back in order of arrival per connection and never waits for a handler; no queue
 * groups.
 * 5. `append` resolves when the stream has acknowledged. It rejects with CONN or TIMEOUT, and may have
 * landed; with EXISTS and `data.reason` 'wrong-last-sequence' when the stream ends elsewhere than was
 * expected.
 * 6. Reading a stream's past creates no consumer. Direct Get is answered by any server that has a copy, and
 * on a replicated stream a copy may be behind what was acknowledged. What decides something is read `from`
 * the stream's leader, which takes a permission of its own.
 * 7. A message that is larger than the server takes is refused before it leaves: `publish` and `respond`
 * throw, `request`, `gather` and `append` reject, with the fault of payload.ts, which has both numbers. A
 * link that is down is said first.
 */
import type { LinkEnds } from '../protocol/host.ts'

export type Headers = Readonly<Record<string, string>>

export interface Message {
  subject: string
  body: Uint8Array
  headers: Headers
  /** where an answer goes; absent on plain publications */
  reply?: string
  /** stream sequence and time for messages read from a stream */
  seq?: number
  storedAt?: number
  /** answer it; no-op without `reply`. @throws {Fault} too large */
  respond(body: Uint8Array, headers?: Headers): void
}

export interface Subscription {
  unsubscribe(): void
}

/** One message of a work queue in hand. */
export interface QueuedMessage extends Message {
  seq: number
  storedAt: number
  /** resolves when the server has confirmed the ack */
  ack(): Promise<void>
  working(): void
  /** not handled: give it back */
  nak(): void
}

export interface StreamConfig {
  name: string
  subjects: string[]
  kind: 'limits' | 'work-queue'
  storage: 'file' | 'memory'
  /** -1: no limit. A full work queue refuses, other streams drop their oldest */
  maxBytes: number
  /** absent: no limit. Each message, and each of their subjects, costs the server memory */
  maxMessages?: number
  /** 0: for ever */
  maxAgeMs: number
  /** deduplication window for `Nats-Msg-Id`, ms */
  duplicateWindowMs: number
  allowDirect: boolean
  /**
   * Acknowledge before it is written: no fsync for each message, and a killed server forgets the last. With
   * replicas it is without effect.
   */
  asyncPersist: boolean
  /** servers that keep a copy, 1, 3 or 5; absent: 1 for a new stream, and one that is there keeps its own */
  replicas?: number
}

/** copy: Direct Get, whichever server answers. leader: never behind what was acknowledged. */
export type ReadFrom = 'copy' | 'leader'

export interface AppendOptions {
  headers?: Headers
  /** `Nats-Expected-Last-Sequence` */
  expectedLastSeq?: number
  /** `Nats-Msg-Id`: the same id within the window is acknowledged and dropped */
  id?: string
  timeoutMs?: number
}

export interface Bus {
  readonly connected: boolean
  /** the link's two ends as they are now; null while it is down, or where a bus has no addresses */
  ends(): LinkEnds | null
  /** called with each change of the link */
  onLink(listener: (connected: boolean) => void): () => void
  /** called when the server refuses a subject to this credential */
  onPermissionViolation(listener: (violation: { operation: string; subject: string }) => void): () => void

  publish(subject: string, body: Uint8Array, headers?: Headers): void
  request(
    subject: string,
    body: Uint8Array,
    options: { headers?: Headers; timeoutMs: number },
  ): Promise<Message>
  /**
   * One request, many replies until `count` came or `timeoutMs` passed. DESIGN.md names it for orders to all
   * nodes, which will be the first caller in src; tests of permissions and the bench ask so now.
   */
  gather(
    subject: string,
    body: Uint8Array,
    options: { headers?: Headers; timeoutMs: number; count?: number },
  ): Promise<Message[]>
  subscribe(subject: string, onMessage: (message: Message) => void): Subscription
  append(
    subject: string,
    body: Uint8Array,
    options?: AppendOptions,
  ): Promise<{ seq: number; duplicate: boolean }>

  /**
   * Make it, or let it have these limits. Rejects with EXISTS, and both values in the message and in
   * `data.differs`, when the stream is there with something that the server does not change.
   */
  ensureStream(config: StreamConfig): Promise<{ created: boolean; firstSeq: number; lastSeq: number }>
  /** first message at or after `seq` whose subject fits, or null when there is none; Direct Get */
  getMessage(
    stream: string,
    options: { seq: number; subject?: string },
  ): Promise<(Message & { seq: number }) | null>
  /**
   * Like getMessage, up to `count` at once, from a copy unless told otherwise. None: there is no more. From
   * the leader it may be fewer than there are, never a later one without those before.
   */
  getMessages(
    stream: string,
    options: { seq: number; subject?: string; count: number; from?: ReadFrom },
  ): Promise<(Message & { seq: number })[]>
  /** the stream's last message on `subject`, or null; from a copy unless told otherwise */
  getLast(stream: string, subject: string, from?: ReadFrom): Promise<(Message & { seq: number }) | null>
  purge(stream: string, options: { beforeSeq: number; subject?: string }): Promise<void>
  /** one message in hand at a time; stop by the returned function */
  consumeQueue(
    stream: string,
    durable: string,
    ackWaitMs: number,
    onMessage: (message: QueuedMessage) => Promise<void>,
  ): Promise<() => Promise<void>>

  /** everything published before is with the server when this resolves */
  flush(): Promise<void>
  roundTripMs(): Promise<number>
  close(): Promise<void>
}
