/**
 * One consumer of a JetStream work queue: pull, one message in hand. It makes its durable consumer again when
 * that is gone (a store that was lost), and asks again after every break of the link, until it is stopped.
 */
import { Fault } from '../../protocol/faults.ts'
import type { QueuedMessage } from '../bus.ts'
import { apiRequest } from './api.ts'
import type { Link, RawMessage } from './link.ts'

/** How long one pull waits at the server; a pull that is lost costs this long. */
const PULL_MS = 5000
const RETRY_MS = 250
const ACK_TIMEOUT_MS = 2000

interface Consumer {
  readonly link: Link
  readonly stream: string
  readonly durable: string
  readonly ackWaitMs: number
  stopped: boolean
  /** Ends the wait that the loop is in: for a message, or between two tries. */
  wake(): void
  onPulled(raw: RawMessage): void
  /** Where the server sends a message that is pulled. */
  readonly inbox: { subject: string; unsubscribe(): void }
}

export async function consumeQueueOn(
  link: Link,
  stream: string,
  durable: string,
  ackWaitMs: number,
  onMessage: (message: QueuedMessage) => Promise<void>,
): Promise<() => Promise<void>> {
  const c: Consumer = {
    link,
    stream,
    durable,
    ackWaitMs,
    stopped: false,
    wake: () => {},
    onPulled: () => {},
    inbox: link.inbox((raw) => c.onPulled(raw)),
  }
  try {
    await ensureConsumer(c)
  } catch (error) {
    c.inbox.unsubscribe()
    throw error
  }
  // a server that went away never answers
  const off = link.onLink(() => c.wake())
  const done = consume(c, onMessage)
  return async () => {
    c.stopped = true
    off()
    c.wake()
    await done
    c.inbox.unsubscribe()
  }
}

async function consume(c: Consumer, onMessage: (message: QueuedMessage) => Promise<void>): Promise<void> {
  while (!c.stopped) {
    if (!c.link.connected) {
      await pause(c, RETRY_MS)
      continue
    }
    const pulled = await pull(c)
    if (pulled === 'gone') {
      await pause(c, RETRY_MS)
      await ensureConsumer(c).catch(() => undefined)
    } else if (pulled !== null && !c.stopped) {
      await onMessage(queuedOf(c.link, pulled))
    }
  }
}

function ensureConsumer({ link, stream, durable, ackWaitMs }: Consumer): Promise<unknown> {
  return apiRequest(link, `$JS.API.CONSUMER.CREATE.${stream}.${durable}`, {
    stream_name: stream,
    config: {
      durable_name: durable,
      name: durable,
      ack_policy: 'explicit',
      ack_wait: ackWaitMs * 1e6,
      max_ack_pending: 1,
      deliver_policy: 'all',
      replay_policy: 'instant',
      max_deliver: -1,
    },
  })
}

/** @returns the message; null: none came; 'gone': the consumer is not there (any more) */
function pull(c: Consumer): Promise<RawMessage | null | 'gone'> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(null), PULL_MS + 1000)
    const settle = (result: RawMessage | null | 'gone'): void => {
      clearTimeout(timer)
      resolve(result)
    }
    c.wake = () => settle(null)
    c.onPulled = (raw) =>
      settle(raw.status === 0 ? raw : raw.status === 404 || raw.status === 408 ? null : 'gone')
    c.link.publish(
      `$JS.API.CONSUMER.MSG.NEXT.${c.stream}.${c.durable}`,
      new TextEncoder().encode(JSON.stringify({ batch: 1, expires: PULL_MS * 1e6 })),
      undefined,
      c.inbox.subject,
    )
  })
}

function pause(c: Consumer, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    c.wake = () => {
      clearTimeout(timer)
      resolve()
    }
  })
}

function queuedOf(link: Link, raw: RawMessage): QueuedMessage {
  const reply = raw.reply!
  const word = (text: string): void => link.publish(reply, new TextEncoder().encode(text))
  return {
    subject: raw.subject,
    body: raw.body,
    headers: raw.headers,
    ...placeOf(reply),
    respond: () => undefined,
    // asked as a request, so that the server's confirmation is waited for
    ack: () =>
      link.exchange(reply, new TextEncoder().encode('+ACK'), { timeoutMs: ACK_TIMEOUT_MS }, () => true),
    working: () => word('+WPI'),
    nak: () => word('-NAK'),
  }
}

/**
 * Stream sequence and time stand in the ack subject:
 * `$JS.ACK.[domain.account.]stream.consumer.delivered.SEQ.consumerSeq.NANOS.pending[.random]`.
 */
function placeOf(reply: string): { seq: number; storedAt: number } {
  const tokens = reply.split('.')
  const from = tokens.length > 9 ? 4 : 2
  const seq = Number(tokens[from + 3])
  const storedAt = Math.floor(Number(tokens[from + 5]) / 1e6)
  if (!Number.isSafeInteger(seq) || Number.isNaN(storedAt))
    throw new Fault('FAILED', `'${reply}' is no ack subject`)
  return { seq, storedAt }
}
