/**
 * The server of the bus in memory: streams, subscriptions, routing and the faults of hops and of its disk.
 * What a connection does stands in connection.ts. Nothing here knows the protocol.
 */
import { Fault } from '../../../src/protocol/faults.ts'
import type { Clock } from '../../../src/system/clock.ts'
import type { Headers, ReadFrom, StreamConfig } from '../../../src/transport/bus.ts'
import type { MemoryFaults, Traffic } from './faults.ts'
import type { MemoryQueue } from './queue.ts'
import { memoryStream, subjectFits, type MemoryStream, type StoredMessage } from './stream.ts'

export const INBOX = '_INBOX.'

/** A connection as the server sees it. */
export interface Peer {
  readonly name: string
  /** `run` after a hop and `extraMs`, unless the link falls meanwhile */
  fromServer(run: () => void, extraMs: number, arrived?: () => void): void
}
export interface ServerSub {
  connection: Peer
  pattern: string
  run: (message: Wire) => void
}
export interface Wire {
  subject: string
  body: Uint8Array
  headers: Headers
  reply?: string
  noResponders?: boolean
}
export interface StoreOptions {
  expectedLastSeq?: number
  id?: string
}

/** The bytes that max_payload counts: the body, and the headers as NATS writes them. */
export function wireBytes(body: Uint8Array, headers: Headers): number {
  const lines = Object.entries(headers)
  if (lines.length === 0) return body.length
  const text = `NATS/1.0\r\n${lines.map(([key, value]) => `${key}: ${value}\r\n`).join('')}\r\n`
  return body.length + Buffer.byteLength(text)
}

export class Server {
  readonly streams = new Map<string, MemoryStream>()
  readonly queues = new Map<string, MemoryQueue>()
  readonly listeners: ((traffic: Traffic) => void)[] = []
  private readonly subs = new Set<ServerSub>()
  private readonly inboxes = new Map<string, (message: Wire) => void>()
  private readonly inboxOwners = new Map<string, Peer>()
  /** looked up for every message, so remembered until a subscription or a stream comes or goes */
  private readonly matches = new Map<string, ServerSub[]>()
  private readonly captured = new Map<string, MemoryStream | null>()

  constructor(
    readonly clock: Clock,
    readonly faults: MemoryFaults,
    readonly payloadMax: number,
  ) {}

  add(sub: ServerSub): void {
    this.subs.add(sub)
    this.matches.clear()
  }
  remove(sub: ServerSub): void {
    this.subs.delete(sub)
    this.matches.clear()
  }
  expect(inbox: string, owner: Peer, run: (message: Wire) => void): void {
    this.inboxes.set(inbox, run)
    this.inboxOwners.set(inbox, owner)
  }
  forget(inbox: string): void {
    this.inboxes.delete(inbox)
    this.inboxOwners.delete(inbox)
  }
  tell(what: Traffic['what'], from: string, message: Wire, more: Partial<Traffic> = {}): void {
    if (this.listeners.length === 0) return
    const { subject, headers, body, reply = null } = message
    const fixed = { to: null, seq: null, stream: null, copy: 0 }
    const traffic: Traffic = { what, from, subject, headers, body, reply, ...fixed, ...more }
    for (const listener of this.listeners) listener(traffic)
  }
  get waiting(): number {
    return this.inboxes.size
  }
  resetStore(): void {
    this.streams.clear()
    this.captured.clear()
    this.queues.clear()
  }
  makeStream(config: StreamConfig): void {
    this.streams.set(config.name, memoryStream(config))
    this.captured.clear()
  }
  streamNamed(name: string): MemoryStream {
    const stream = this.streams.get(name)
    if (stream === undefined)
      throw new Fault('CONN', `there is no stream ${name}`, { data: { reason: 'no-stream' } })
    return stream
  }
  /** The stream as its leader has it, or as the copy has it that answers now. */
  seenFrom(from: ReadFrom | undefined, name: string): Pick<MemoryStream, 'from' | 'last'> {
    const stream = this.streamNamed(name)
    const behind = from === 'leader' ? 0 : this.faults.behind(name)
    if (behind === 0) return stream
    const end = stream.lastSeq - behind
    const isThere = ({ seq }: StoredMessage): boolean => seq <= end
    return {
      from: (...asked) => stream.from(...asked).filter(isThere),
      last: (subject) => stream.from(0, subject, Infinity).findLast(isThere) ?? null,
    }
  }
  private streamFor(subject: string): MemoryStream | null {
    let stream = this.captured.get(subject)
    if (stream === undefined) {
      stream = [...this.streams.values()].find((candidate) => candidate.captures(subject)) ?? null
      // inboxes come once and never again
      if (!subject.startsWith(INBOX)) this.captured.set(subject, stream)
    }
    return stream
  }
  private matching(subject: string): ServerSub[] {
    let found = this.matches.get(subject)
    if (found === undefined) {
      found = [...this.subs].filter((sub) => subjectFits(sub.pattern, subject))
      if (!subject.startsWith(INBOX)) this.matches.set(subject, found)
    }
    return found
  }

  /**
   * How long the disk keeps a message on this subject, ms: what its connection sends behind it waits, too.
   */
  storeMs(subject: string): number {
    if (this.streamFor(subject) === null) return 0
    const disk = this.faults.disk()
    return disk === 'full' ? 0 : disk
  }

  /** one publication arrives: store it where a stream captures it, and pass it on */
  route(from: Peer, message: Wire): void {
    if (this.streamFor(message.subject) !== null) {
      const ack = this.stored(from, message)
      if (message.reply !== undefined)
        this.route(from, {
          subject: message.reply,
          headers: {},
          body: new TextEncoder().encode(JSON.stringify(ack)),
        })
      return
    }
    this.tell('message', from.name, message)
    const heard = this.fanOut(from, message)
    if (!heard && message.reply !== undefined)
      this.answer(from, message.reply, {
        subject: message.reply,
        body: new Uint8Array(),
        headers: {},
        noResponders: true,
      })
  }
  /** A plain client's publication into a stream: its ack, or the error that the server says in its place. */
  private stored(from: Peer, message: Wire): Record<string, unknown> {
    try {
      const { stream, seq, duplicate } = this.store(from, message, {})
      return { stream, seq, ...(duplicate && { duplicate }) }
    } catch (error) {
      return { error: { code: 503, description: (error as Error).message } }
    }
  }

  /** subscribers get what the stream refuses or knows already, too: a live message proves nothing */
  store(
    from: Peer,
    message: Wire,
    options: StoreOptions,
  ): { stream: string; seq: number; duplicate: boolean } {
    const heard = this.fanOut(from, { ...message, reply: undefined })
    const stream = this.streamFor(message.subject)
    if (stream === null)
      throw new Fault(heard ? 'TIMEOUT' : 'CONN', `no stream stores ${message.subject}`, {
        data: { reason: 'no-stream' },
      })
    const place = { stream: stream.config.name }
    try {
      if (this.faults.disk() === 'full') throw new Fault('FAILED', 'JetStream: no space left on device')
      const { seq, duplicate } = stream.append(message.subject, message.body, this.clock.wall(), {
        headers: message.headers,
        ...options,
      })
      if (!duplicate) {
        this.tell('append', from.name, message, { ...place, seq })
        for (const [key, queue] of this.queues) if (key.startsWith(`${stream.config.name}/`)) queue.wake()
      }
      return { stream: stream.config.name, seq, duplicate }
    } catch (error) {
      this.tell('append', from.name, message, place)
      throw error
    }
  }

  private fanOut(from: Peer, message: Wire): boolean {
    const subs = this.matching(message.subject)
    for (const sub of subs) this.carry(from, sub.connection, message, sub.run)
    return this.answer(from, message.subject, message) || subs.length > 0
  }

  private answer(from: Peer, inbox: string, message: Wire): boolean {
    const owner = this.inboxOwners.get(inbox)
    if (owner === undefined) return false
    const run = (answer: Wire): void => this.inboxes.get(inbox)?.(answer)
    if (message.noResponders) owner.fromServer(() => run(message), 0)
    else this.carry(from, owner, message, run)
    return true
  }

  private carry(from: Peer, to: Peer, message: Wire, run: (message: Wire) => void): void {
    this.faults.copies({ subject: message.subject, from: from.name, to: to.name }).forEach((extra, copy) => {
      const arrived = (): void => this.tell('arrived', from.name, message, { to: to.name, copy })
      const delivered = (): void => {
        this.tell('delivered', from.name, message, { to: to.name, copy })
        run(message)
      }
      to.fromServer(delivered, extra, arrived)
    })
  }
}
