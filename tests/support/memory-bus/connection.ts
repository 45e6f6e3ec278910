/**
 * One connection to the bus in memory: the Bus contract, over hops that take time and a link that falls. What
 * is larger than the server takes is refused before it leaves, as a client library of NATS does it.
 */
import { Fault } from '../../../src/protocol/faults.ts'
import type { Clock } from '../../../src/system/clock.ts'
import type {
  AppendOptions,
  Bus,
  Headers,
  Message,
  StreamConfig,
  Subscription,
} from '../../../src/transport/bus.ts'
import { tooLarge } from '../../../src/transport/payload.ts'
import type { CallKind, ConnectionHooks } from './faults.ts'
import { consumeQueueOn } from './queue-consumer.ts'
import { INBOX, wireBytes, type Peer, type Server, type ServerSub, type Wire } from './server.ts'
import type { StoredMessage } from './stream.ts'

export interface MemoryConnection extends Bus {
  readonly name: string
  setLink(up: boolean): void
  /** kill -9 of the process: what it sent is on its way, nothing else happens */
  sever(): void
}

const CALL_TIMEOUT_MS = 2000

function never<T>(): Promise<T> {
  return new Promise<T>(() => {})
}

export class Connection implements MemoryConnection, Peer {
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
    readonly server: Server,
    private readonly id: string,
    readonly name: string,
    readonly clock: Clock,
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

  get isClosed(): boolean {
    return this.closed
  }
  get isOpen(): boolean {
    return this.connected && !this.closed
  }
  leave(what: Parameters<ConnectionHooks['leave']>[0], subject: string): boolean {
    return this.hooks.leave(what, subject)
  }

  /**
   * What is handed to the socket arrives, also when the process dies meanwhile, but not when the link falls.
   * The server writes on the connection's read loop: what comes behind an append waits for the disk.
   */
  toServer(run: () => void, diskMs = 0): void {
    const session = this.session
    this.upAt = Math.max(this.upAt, this.server.clock.now() + this.server.faults.hopMs()) + diskMs
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
    if (!this.hooks.leave(what, message.subject) || !this.isOpen) return
    this.checkSize(message)
    this.toServer(() => this.server.route(this, message), this.server.storeMs(message.subject))
  }
  /** @throws {Fault} REQUEST_INVALID, too large */
  private checkSize({ subject, body, headers }: Wire): void {
    if (wireBytes(body, headers) > this.server.payloadMax)
      throw tooLarge(subject, body.length, this.server.payloadMax)
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
      try {
        this.send('request', { subject, body, headers: options.headers ?? {}, reply: inbox })
      } catch (error) {
        return settle(() => reject(error as Error))
      }
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
    return new Promise((resolve, reject) => {
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
      try {
        this.send('request', { subject, body, headers: options.headers ?? {}, reply: inbox })
      } catch (error) {
        this.server.forget(inbox)
        return reject(error as Error)
      }
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
  stored(message: StoredMessage): Message & { seq: number; storedAt: number } {
    return { ...this.received(message), seq: message.seq, storedAt: message.storedAt }
  }

  /**
   * A call that the server answers. @throws {Fault} CONN, TIMEOUT (it may have been done), or what the server
   * threw
   */
  call<T>(
    kind: CallKind,
    subject: string,
    done: () => T,
    { timeoutMs = CALL_TIMEOUT_MS, diskMs = 0 }: { timeoutMs?: number | undefined; diskMs?: number } = {},
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
        }, diskMs)
      this.clock.after(
        timeoutMs,
        () => void (open && reject(new Fault('TIMEOUT', `no answer of the server on ${subject}`))),
      )
    })
  }
  async append(
    subject: string,
    body: Uint8Array,
    { timeoutMs, ...options }: AppendOptions = {},
  ): Promise<{ seq: number; duplicate: boolean }> {
    const message = { subject, body: Uint8Array.from(body), headers: options.headers ?? {} }
    const { expectedLastSeq, id } = options
    if (this.connected)
      this.checkSize({
        ...message,
        headers: {
          ...message.headers,
          ...(expectedLastSeq !== undefined && { 'Nats-Expected-Last-Sequence': String(expectedLastSeq) }),
          ...(id !== undefined && { 'Nats-Msg-Id': id }),
        },
      })
    return this.call(
      'append',
      subject,
      () => {
        const { seq, duplicate } = this.server.store(this, message, options)
        return { seq, duplicate }
      },
      { timeoutMs, diskMs: this.server.storeMs(subject) },
    )
  }

  ensureStream(config: StreamConfig): Promise<{ created: boolean; firstSeq: number; lastSeq: number }> {
    return this.call('manage', config.name, () => {
      const created = !this.server.streams.has(config.name)
      if (created) this.server.makeStream(config)
      else this.server.streamNamed(config.name).configure(config, this.server.clock.wall())
      const { firstSeq, lastSeq } = this.server.streamNamed(config.name)
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
        this.server
          .streamNamed(stream)
          .from(options.seq, options.subject, 1)
          .map((message) => this.stored(message))[0] ?? null,
    )
  }
  getMessages(
    stream: string,
    options: { seq: number; subject?: string; count: number },
  ): Promise<(Message & { seq: number })[]> {
    return this.call('read', stream, () =>
      this.server
        .streamNamed(stream)
        .from(options.seq, options.subject, options.count)
        .map((message) => this.stored(message)),
    )
  }
  getLast(stream: string, subject: string): Promise<(Message & { seq: number }) | null> {
    return this.call('read', stream, () => {
      const last = this.server.streamNamed(stream).last(subject)
      return last && this.stored(last)
    })
  }
  purge(stream: string, options: { beforeSeq: number; subject?: string }): Promise<void> {
    return this.call('manage', stream, () =>
      this.server.streamNamed(stream).purge(options.beforeSeq, options.subject),
    )
  }

  consumeQueue(
    ...[stream, durable, ackWaitMs, onMessage]: Parameters<Bus['consumeQueue']>
  ): ReturnType<Bus['consumeQueue']> {
    return consumeQueueOn(this, stream, durable, ackWaitMs, onMessage)
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
