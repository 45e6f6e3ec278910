/**
 * The Bus contract in memory, with the faults of a real one: a server with streams, connections whose links
 * fall, hops that take time, copies that are lost, doubled or late, acks that never come. Driven by a Clock;
 * randomness is the caller's (`faults`). Streams are memory-stream.ts, work queues memory-queue.ts. Nothing
 * here knows the protocol.
 */
import { Fault } from '../protocol/faults.ts'
import type { Clock } from '../system/clock.ts'
import type { Bus, Headers, Message, QueuedMessage, StreamConfig, Subscription } from './bus.ts'
import { memoryQueue, type MemoryQueue, type Puller } from './memory-queue.ts'
import { memoryStream, subjectFits, type MemoryStream, type StoredMessage } from './memory-stream.ts'

export interface MemoryFaults {
  /** time of one hop between a connection and the server, ms */
  hopMs(): number
  /**
   * a core message on its way to one connection: the extra delay of each copy; none is a loss. Extra delays
   * break the order
   */
  copies(hop: { subject: string; from: string; to: string }): readonly number[]
  /** a call that the server answers (append, ack, stream reads): does it arrive, does its answer? */
  call(
    kind: 'append' | 'ack' | 'read' | 'manage',
    from: string,
    subject: string,
  ): 'done' | 'answer-lost' | 'lost'
}

/** Where a connection touches the process that holds it. */
export interface ConnectionHooks {
  /** everything that comes in passes here: run it now, later (frozen), or never (dead) */
  enter(run: () => void): void
  /** asked before everything that goes out; false: the process is dead and nothing leaves */
  leave(
    what: 'publish' | 'request' | 'respond' | 'append' | 'ack' | 'read' | 'manage',
    subject: string,
  ): boolean
}

/**
 * What happened on the bus, for whoever keeps a history. `message`: reached the server; `append`: a stream
 * took it (`seq`) or refused it (null); `arrived`: reached a connection's socket; `delivered`: the process
 * behind it read it. `copy` is 0 for the first, 1 for a duplicate; with a stream it counts how often a work
 * queue gave the message before.
 */
export interface Traffic {
  what: 'message' | 'append' | 'arrived' | 'delivered'
  from: string
  to: string | null
  subject: string
  headers: Headers
  body: Uint8Array
  reply: string | null
  seq: number | null
  stream: string | null
  copy: number
}

export interface MemoryConnection extends Bus {
  readonly name: string
  setLink(up: boolean): void
  /** kill -9 of the process: what it sent is on its way, nothing else happens */
  sever(): void
}

export interface MemoryServer {
  connect(options: { name: string; clock?: Clock; hooks?: ConnectionHooks }): MemoryConnection
  readonly streams: ReadonlyMap<string, MemoryStream>
  /** all streams and consumers are lost */
  resetStore(): void
  observe(listener: (traffic: Traffic) => void): void
  /** questions that are neither answered nor given up */
  waiting(): number
}

const NO_FAULTS: MemoryFaults = { hopMs: () => 0, copies: () => [0], call: () => 'done' }
const ALWAYS: ConnectionHooks = { enter: (run) => run(), leave: () => true }
const CALL_TIMEOUT_MS = 2000
const PULL_AGAIN_MS = 1000
const INBOX = '_INBOX.'
function never<T>(): Promise<T> {
  return new Promise<T>(() => {})
}

interface ServerSub {
  connection: Connection
  pattern: string
  run: (message: Wire) => void
}
interface Wire {
  subject: string
  body: Uint8Array
  headers: Headers
  reply?: string
  noResponders?: boolean
}

export function memoryServer(clock: Clock, faults: MemoryFaults = NO_FAULTS): MemoryServer {
  const server = new Server(clock, faults)
  let born = 0
  return {
    connect: ({ name, clock: own = clock, hooks = ALWAYS }) =>
      new Connection(server, `${++born}`, name, own, hooks),
    streams: server.streams,
    resetStore: () => server.resetStore(),
    observe: (listener) => void server.listeners.push(listener),
    waiting: () => server.waiting,
  }
}

class Server {
  readonly streams = new Map<string, MemoryStream>()
  readonly queues = new Map<string, MemoryQueue>()
  readonly listeners: ((traffic: Traffic) => void)[] = []
  private readonly subs = new Set<ServerSub>()
  private readonly inboxes = new Map<string, (message: Wire) => void>()
  private readonly inboxOwners = new Map<string, Connection>()
  /** looked up for every message, so remembered until a subscription or a stream comes or goes */
  private readonly matches = new Map<string, ServerSub[]>()
  private readonly captured = new Map<string, MemoryStream | null>()

  constructor(
    readonly clock: Clock,
    readonly faults: MemoryFaults,
  ) {}

  add(sub: ServerSub): void {
    this.subs.add(sub)
    this.matches.clear()
  }
  remove(sub: ServerSub): void {
    this.subs.delete(sub)
    this.matches.clear()
  }
  expect(inbox: string, owner: Connection, run: (message: Wire) => void): void {
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
    const traffic: Traffic = {
      what,
      from,
      to: null,
      subject,
      headers,
      body,
      reply,
      seq: null,
      stream: null,
      copy: 0,
      ...more,
    }
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
  streamFor(subject: string): MemoryStream | null {
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

  /** one publication arrives: store it where a stream captures it, and pass it on */
  route(from: Connection, message: Wire): void {
    if (this.streamFor(message.subject) !== null) {
      const { stream, seq, duplicate } = this.store(from, message, {})
      if (message.reply !== undefined)
        this.route(from, {
          subject: message.reply,
          headers: {},
          body: new TextEncoder().encode(JSON.stringify({ stream, seq, ...(duplicate && { duplicate }) })),
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

  /** subscribers get what the stream refuses or knows already, too: a live message proves nothing */
  store(
    from: Connection,
    message: Wire,
    options: { expectedLastSeq?: number; id?: string },
  ): { stream: string; seq: number; duplicate: boolean } {
    const heard = this.fanOut(from, { ...message, reply: undefined })
    const stream = this.streamFor(message.subject)
    if (stream === null)
      throw new Fault(heard ? 'TIMEOUT' : 'CONN', `no stream stores ${message.subject}`, {
        data: { reason: 'no-stream' },
      })
    const place = { stream: stream.config.name }
    try {
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

  private fanOut(from: Connection, message: Wire): boolean {
    const subs = this.matching(message.subject)
    for (const sub of subs) this.carry(from, sub.connection, message, sub.run)
    return this.answer(from, message.subject, message) || subs.length > 0
  }

  private answer(from: Connection, inbox: string, message: Wire): boolean {
    const owner = this.inboxOwners.get(inbox)
    if (owner === undefined) return false
    const run = (answer: Wire): void => this.inboxes.get(inbox)?.(answer)
    if (message.noResponders) owner.fromServer(() => run(message), 0)
    else this.carry(from, owner, message, run)
    return true
  }

  private carry(from: Connection, to: Connection, message: Wire, run: (message: Wire) => void): void {
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

class Connection implements MemoryConnection {
  connected = true
  private closed = false
  /** changes with every loss of the link: what was under way is lost */
  private session = 0
  private upAt = 0
  private downAt = 0
  private inboxCount = 0
  private readonly subs = new Set<ServerSub>()
  private readonly linkListeners = new Set<(connected: boolean) => void>()

  constructor(
    private readonly server: Server,
    private readonly id: string,
    readonly name: string,
    private readonly clock: Clock,
    private readonly hooks: ConnectionHooks,
  ) {}

  setLink(up: boolean): void {
    if (this.closed || up === this.connected) return
    this.connected = up
    this.session++
    for (const sub of this.subs)
      if (up) this.server.add(sub)
      else this.server.remove(sub)
    for (const listener of this.linkListeners) this.hooks.enter(() => listener(up))
  }

  sever(): void {
    this.closed = true
    this.connected = false
    for (const sub of this.subs) this.server.remove(sub)
    this.linkListeners.clear()
  }

  /**
   * What is handed to the socket arrives, also when the process dies meanwhile, but not when the link falls.
   */
  private toServer(run: () => void): void {
    const session = this.session
    this.upAt = Math.max(this.upAt, this.server.clock.now() + this.server.faults.hopMs())
    this.server.clock.after(this.upAt - this.server.clock.now(), () => {
      if (session === this.session) run()
    })
  }
  fromServer(run: () => void, extraMs: number, arrived?: () => void): void {
    const session = this.session
    const at = Math.max(this.downAt, this.server.clock.now() + this.server.faults.hopMs())
    if (extraMs === 0) this.downAt = at
    this.server.clock.after(at - this.server.clock.now() + extraMs, () => {
      if (session !== this.session || this.closed) return
      arrived?.()
      this.hooks.enter(run)
    })
  }

  onLink(listener: (connected: boolean) => void): () => void {
    this.linkListeners.add(listener)
    return () => void this.linkListeners.delete(listener)
  }
  onPermissionViolation(): () => void {
    return () => {}
  }

  publish(subject: string, body: Uint8Array, headers: Headers = {}): void {
    this.send('publish', { subject, body, headers })
  }
  private send(what: 'publish' | 'request' | 'respond', message: Wire): void {
    if (!this.hooks.leave(what, message.subject) || this.closed || !this.connected) return
    this.toServer(() => this.server.route(this, message))
  }

  request(
    subject: string,
    body: Uint8Array,
    options: { headers?: Headers; timeoutMs: number },
  ): Promise<Message> {
    return new Promise((resolve, reject) => {
      if (!this.connected) return reject(new Fault('CONN', 'not connected'))
      const inbox = `${INBOX}${this.id}.${++this.inboxCount}`
      let open = true
      const settle = (run: () => void): void => {
        if (!open) return
        open = false
        this.server.forget(inbox)
        run()
      }
      this.server.expect(inbox, this, (message) =>
        settle(() =>
          message.noResponders
            ? reject(new Fault('CONN', `nobody serves ${subject}`, { data: { reason: 'no-responders' } }))
            : resolve(this.received(message)),
        ),
      )
      this.send('request', { subject, body, headers: options.headers ?? {}, reply: inbox })
      this.clock.after(options.timeoutMs, () =>
        settle(() => reject(new Fault('TIMEOUT', `no answer on ${subject} in ${options.timeoutMs} ms`))),
      )
    })
  }

  gather(
    subject: string,
    body: Uint8Array,
    options: { headers?: Headers; timeoutMs: number; count?: number },
  ): Promise<Message[]> {
    return new Promise((resolve) => {
      const inbox = `${INBOX}${this.id}.${++this.inboxCount}`
      const replies: Message[] = []
      const finish = (): void => {
        this.server.forget(inbox)
        resolve(replies)
      }
      this.server.expect(inbox, this, (message) => {
        if (!message.noResponders) replies.push(this.received(message))
        if (message.noResponders || replies.length === options.count) finish()
      })
      this.send('request', { subject, body, headers: options.headers ?? {}, reply: inbox })
      this.clock.after(options.timeoutMs, finish)
    })
  }

  subscribe(pattern: string, onMessage: (message: Message) => void): Subscription {
    const sub: ServerSub = {
      connection: this,
      pattern,
      run: (message) => this.subs.has(sub) && onMessage(this.received(message)),
    }
    this.subs.add(sub)
    if (this.connected) this.server.add(sub)
    return {
      unsubscribe: () => {
        this.subs.delete(sub)
        this.server.remove(sub)
      },
    }
  }

  private received(message: Wire | StoredMessage): Message {
    const reply = 'reply' in message ? message.reply : undefined
    return {
      subject: message.subject,
      body: message.body,
      headers: message.headers,
      ...(reply !== undefined && { reply }),
      respond: (body, headers = {}) =>
        void (reply !== undefined && this.send('respond', { subject: reply, body, headers })),
    }
  }
  private stored(message: StoredMessage): Message & { seq: number; storedAt: number } {
    return { ...this.received(message), seq: message.seq, storedAt: message.storedAt }
  }

  /**
   * A call that the server answers. @throws {Fault} CONN, TIMEOUT (it may have been done), or what the server
   * threw
   */
  private call<T>(
    kind: 'append' | 'ack' | 'read' | 'manage',
    subject: string,
    done: () => T,
    timeoutMs = CALL_TIMEOUT_MS,
  ): Promise<T> {
    if (!this.hooks.leave(kind, subject)) return never()
    if (!this.connected) return Promise.reject(new Fault('CONN', 'not connected'))
    return new Promise((resolve, reject) => {
      let open = true
      const fate = this.server.faults.call(kind, this.name, subject)
      if (fate !== 'lost')
        this.toServer(() => {
          let answer: () => void
          try {
            const value = done()
            answer = () => {
              open = false
              resolve(value)
            }
          } catch (error) {
            answer = () => {
              open = false
              reject(error as Error)
            }
          }
          if (fate === 'done') this.fromServer(answer, 0)
        })
      this.clock.after(
        timeoutMs,
        () => void (open && reject(new Fault('TIMEOUT', `no answer of the server on ${subject}`))),
      )
    })
  }
  private streamNamed(name: string): MemoryStream {
    const stream = this.server.streams.get(name)
    if (stream === undefined)
      throw new Fault('CONN', `there is no stream ${name}`, { data: { reason: 'no-stream' } })
    return stream
  }

  append(
    subject: string,
    body: Uint8Array,
    options: { headers?: Headers; expectedLastSeq?: number; id?: string; timeoutMs?: number } = {},
  ): Promise<{ seq: number; duplicate: boolean }> {
    const bytes = Uint8Array.from(body)
    return this.call(
      'append',
      subject,
      () => {
        const { seq, duplicate } = this.server.store(
          this,
          { subject, body: bytes, headers: options.headers ?? {} },
          options,
        )
        return { seq, duplicate }
      },
      options.timeoutMs,
    )
  }

  ensureStream(config: StreamConfig): Promise<{ created: boolean; firstSeq: number; lastSeq: number }> {
    return this.call('manage', config.name, () => {
      const created = !this.server.streams.has(config.name)
      if (created) this.server.makeStream(config)
      const { firstSeq, lastSeq } = this.streamNamed(config.name)
      return { created, firstSeq, lastSeq }
    })
  }
  getMessage(
    stream: string,
    options: { seq: number; subject?: string },
  ): Promise<(Message & { seq: number }) | null> {
    return this.call(
      'read',
      stream,
      () =>
        this.streamNamed(stream)
          .from(options.seq, options.subject, 1)
          .map((message) => this.stored(message))[0] ?? null,
    )
  }
  getMessages(
    stream: string,
    options: { seq: number; subject?: string; count: number },
  ): Promise<(Message & { seq: number })[]> {
    return this.call('read', stream, () =>
      this.streamNamed(stream)
        .from(options.seq, options.subject, options.count)
        .map((message) => this.stored(message)),
    )
  }
  getLast(stream: string, subject: string): Promise<(Message & { seq: number }) | null> {
    return this.call('read', stream, () => {
      const last = this.streamNamed(stream).last(subject)
      return last && this.stored(last)
    })
  }
  purge(stream: string, options: { beforeSeq: number; subject?: string }): Promise<void> {
    return this.call('manage', stream, () =>
      this.streamNamed(stream).purge(options.beforeSeq, options.subject),
    )
  }

  async consumeQueue(
    stream: string,
    durable: string,
    ackWaitMs: number,
    onMessage: (message: QueuedMessage) => Promise<void>,
  ): Promise<() => Promise<void>> {
    const key = `${stream}/${durable}`
    const queueOf = (): MemoryQueue => {
      const source = this.streamNamed(stream)
      const queue = this.server.queues.get(key) ?? memoryQueue(source, ackWaitMs, this.server.clock)
      this.server.queues.set(key, queue)
      return queue
    }
    await this.call('manage', stream, () => void queueOf())
    let stopped = false
    let busy = false
    const finished = (): void => {
      busy = false
      pull()
    }
    const puller: Puller = {
      deliver: (message, copy) => {
        if (stopped || this.closed || !this.connected) return false
        this.fromServer(() => {
          this.server.tell('delivered', 'server', message, { to: this.name, stream, seq: message.seq, copy })
          if (stopped || busy) return
          busy = true
          onMessage(this.queued(stream, message, queueOf)).then(finished, finished)
        }, 0)
        return true
      },
    }
    const pull = (): void => {
      if (stopped || busy || this.closed) return
      // asked again for as long as nothing came: the consumer may have been lost with its store, or the
      // request with the link
      this.clock.after(PULL_AGAIN_MS, pull)
      if (!this.connected || !this.hooks.leave('read', stream)) return
      this.toServer(() => {
        try {
          queueOf().pull(puller)
        } catch {
          // no stream yet: asked again
        }
      })
    }
    pull()
    return () => {
      stopped = true
      return Promise.resolve()
    }
  }
  private queued(stream: string, message: StoredMessage, queueOf: () => MemoryQueue): QueuedMessage {
    const tell = (what: 'ack' | 'working' | 'nak'): void => {
      if (this.connected && this.hooks.leave('ack', message.subject))
        this.toServer(() => {
          if (this.server.streams.has(stream)) queueOf()[what](message.seq)
        })
    }
    return {
      ...this.stored(message),
      ack: () => this.call('ack', message.subject, () => queueOf().ack(message.seq)),
      working: () => tell('working'),
      nak: () => tell('nak'),
    }
  }

  async flush(): Promise<void> {
    await this.call('read', '_flush', () => undefined)
  }
  async roundTripMs(): Promise<number> {
    const sent = this.clock.now()
    await this.flush()
    return this.clock.now() - sent
  }
  close(): Promise<void> {
    this.sever()
    return Promise.resolve()
  }
}
