/**
 * One connection to the bus in memory: the Bus contract over a link that falls (link.ts). What
 * is larger than the server takes is refused before it leaves, as a client library of NATS does it.
 */
import { Fault } from '../../../src/protocol/faults.ts'
import type {
  AppendOptions,
  Bus,
  Headers,
  Message,
  ReadFrom,
  StreamConfig,
  Subscription,
} from '../../../src/transport/bus.ts'
import { tooLarge } from '../../../src/transport/payload.ts'
import { Link } from './link.ts'
import { consumeQueueOn } from './queue-consumer.ts'
import { INBOX, wireBytes, type Peer, type ServerSub, type Wire } from './server.ts'
import type { StoredMessage } from './stream.ts'

export interface MemoryConnection extends Bus {
  readonly name: string
  setLink(up: boolean): void
  /** kill -9 of the process: what it sent is on its way, nothing else happens */
  sever(): void
}

export class Connection extends Link implements MemoryConnection, Peer {
  private inboxCount = 0
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
          .seenFrom('copy', stream)
          .from(options.seq, options.subject, 1)
          .map((message) => this.stored(message))[0] ?? null,
    )
  }
  getMessages(
    stream: string,
    options: { seq: number; subject?: string; count: number; from?: ReadFrom },
  ): Promise<(Message & { seq: number })[]> {
    return this.call('read', stream, () =>
      this.server
        .seenFrom(options.from, stream)
        .from(options.seq, options.subject, options.count)
        .map((message) => this.stored(message)),
    )
  }
  getLast(stream: string, subject: string, from?: ReadFrom): Promise<(Message & { seq: number }) | null> {
    return this.call('read', stream, () => {
      const last = this.server.seenFrom(from, stream).last(subject)
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
