/**
 * JetStream for the NATS bus, by the server's own JSON API over a Link: acknowledged appends, streams, the
 * past by Direct Get (which makes no consumer). The one consumer there is, of a work queue, stands in
 * work-queue.ts.
 */
import { Fault } from '../protocol/faults.ts'
import type { Bus, Headers, Message, StreamConfig } from './bus.ts'
import { atLeast, type Link, type RawMessage } from './link.ts'
import { consumeQueueOn } from './work-queue.ts'

type JetStream = Pick<
  Bus,
  'append' | 'ensureStream' | 'getMessage' | 'getMessages' | 'getLast' | 'purge' | 'consumeQueue'
>
type StoredMessage = Message & { seq: number }

const API_TIMEOUT_MS = 3000
const APPEND_TIMEOUT_MS = 2000
/** Error numbers of the JetStream API that decide something. */
const ERROR = { streamNotFound: 10059, wrongLastSequence: 10071, streamNameInUse: 10058 } as const

interface ApiError {
  code: number
  err_code?: number
  description?: string
}

/** @throws {Fault} EXISTS, or FAILED with the server's own words, when the answer is an error */
export async function apiRequest(
  link: Link,
  subject: string,
  body: unknown,
  timeoutMs = API_TIMEOUT_MS,
): Promise<Record<string, unknown>> {
  const { result, error } = await apiExchange(link, subject, body, timeoutMs)
  if (error !== undefined) throw apiFault(subject, error)
  return result
}

async function apiExchange(
  link: Link,
  subject: string,
  body: unknown,
  timeoutMs: number,
): Promise<{ result: Record<string, unknown>; error: ApiError | undefined }> {
  let answer: RawMessage | undefined
  await link
    .exchange(
      subject,
      body === undefined ? new Uint8Array(0) : new TextEncoder().encode(JSON.stringify(body)),
      { timeoutMs },
      (raw) => {
        answer = raw
        return true
      },
    )
    .catch((error: unknown) => {
      throw withoutJetStream(error)
    })
  const result = JSON.parse(new TextDecoder().decode(answer!.body)) as Record<string, unknown> & {
    error?: ApiError
  }
  return { result, error: result.error }
}

function apiFault(subject: string, error: ApiError): Fault {
  return new Fault(
    error.err_code === ERROR.streamNameInUse ? 'EXISTS' : 'FAILED',
    `JetStream: ${error.description ?? `error ${error.code}`} (${subject})`,
    { data: { status: error.code, error: error.err_code ?? null } },
  )
}

function withoutJetStream(error: unknown): unknown {
  return error instanceof Fault && error.data['reason'] === 'no-responders'
    ? new Fault('CONN', 'JetStream does not answer, or the stream is not there', {
        data: { reason: 'no-responders' },
        cause: error,
      })
    : error
}

export function jetStreamOn(link: Link): JetStream {
  const directGet = async (
    stream: string,
    query: Record<string, unknown> | null,
  ): Promise<StoredMessage[]> => {
    const found: StoredMessage[] = []
    const batch = query !== null && 'batch' in query
    await link
      .exchange(
        `$JS.API.DIRECT.GET.${stream}`,
        query === null ? new Uint8Array(0) : new TextEncoder().encode(JSON.stringify(query)),
        { timeoutMs: API_TIMEOUT_MS },
        (raw) => {
          if (raw.status === 404 || raw.status === 204) return true
          if (raw.status >= 400) throw new Error(`Direct Get of ${stream}: ${raw.status} ${raw.statusText}`)
          found.push(storedOf(raw))
          return !batch
        },
      )
      .catch((error: unknown) => {
        throw withoutJetStream(error)
      })
    return found
  }

  const getMessage: JetStream['getMessage'] = async (stream, { seq, subject = '>' }) =>
    (await directGet(stream, { seq: Math.max(1, seq), next_by_subj: subject }))[0] ?? null

  return {
    async append(subject, body, { headers, expectedLastSeq, id, timeoutMs = APPEND_TIMEOUT_MS } = {}) {
      const sent: Headers = {
        ...headers,
        ...(expectedLastSeq !== undefined && { 'Nats-Expected-Last-Sequence': String(expectedLastSeq) }),
        ...(id !== undefined && { 'Nats-Msg-Id': id }),
      }
      let answer: RawMessage | undefined
      await link
        .exchange(subject, body, { headers: sent, timeoutMs }, (raw) => {
          answer = raw
          return true
        })
        .catch((error: unknown) => {
          throw withoutJetStream(error)
        })
      const ack = JSON.parse(new TextDecoder().decode(answer!.body)) as {
        seq?: number
        duplicate?: boolean
        error?: ApiError
      }
      if (ack.error?.err_code === ERROR.wrongLastSequence)
        throw new Fault('EXISTS', `JetStream: ${ack.error.description ?? 'wrong last sequence'}`, {
          data: { reason: 'wrong-last-sequence' },
        })
      if (ack.error !== undefined) throw apiFault(subject, ack.error)
      return { seq: ack.seq ?? 0, duplicate: ack.duplicate === true }
    },

    async ensureStream(config) {
      const asked = await apiExchange(link, `$JS.API.STREAM.INFO.${config.name}`, undefined, API_TIMEOUT_MS)
      if (asked.error !== undefined && asked.error.err_code !== ERROR.streamNotFound)
        throw apiFault(config.name, asked.error)
      const created = asked.error !== undefined
      const info = created
        ? await apiRequest(
            link,
            `$JS.API.STREAM.CREATE.${config.name}`,
            createBody(config, atLeast(link.version, [2, 12, 0])),
          )
        : asked.result
      const state = info['state'] as { first_seq: number; last_seq: number }
      return { created, firstSeq: state.first_seq, lastSeq: state.last_seq }
    },

    getMessage,
    async getMessages(stream, { seq, subject = '>', count }) {
      if (atLeast(link.version, [2, 11, 0]))
        return directGet(stream, { seq: Math.max(1, seq), next_by_subj: subject, batch: count })
      const found: StoredMessage[] = []
      for (let next = seq; found.length < count;) {
        const message = await getMessage(stream, { seq: next, subject })
        if (message === null) break
        found.push(message)
        next = message.seq + 1
      }
      return found
    },
    // a complete subject goes into the API subject: a credential can be held to the last message of one
    // subject, as an agent's is
    getLast: async (stream, subject) =>
      (
        await (/(^|\.)[*>](\.|$)/.test(subject)
          ? directGet(stream, { last_by_subj: subject })
          : directGet(`${stream}.${subject}`, null))
      )[0] ?? null,

    async purge(stream, { beforeSeq, subject }) {
      await apiRequest(link, `$JS.API.STREAM.PURGE.${stream}`, {
        seq: beforeSeq,
        ...(subject !== undefined && { filter: subject }),
      })
    },

    consumeQueue: (stream, durable, ackWaitMs, onMessage) =>
      consumeQueueOn(link, stream, durable, ackWaitMs, onMessage),
  }
}

function createBody(config: StreamConfig, hasPersistMode: boolean): Record<string, unknown> {
  const inMemory = config.memoryBytesElse !== undefined && !hasPersistMode
  return {
    name: config.name,
    subjects: config.subjects,
    retention: config.kind === 'work-queue' ? 'workqueue' : 'limits',
    storage: inMemory ? 'memory' : config.storage,
    max_bytes: inMemory ? config.memoryBytesElse : config.maxBytes,
    max_age: config.maxAgeMs * 1e6,
    duplicate_window: config.duplicateWindowMs * 1e6,
    max_consumers: -1,
    max_msgs: -1,
    max_msg_size: -1,
    num_replicas: 1,
    discard: config.kind === 'work-queue' ? 'new' : 'old',
    allow_direct: config.allowDirect,
    // an old server would drop an option that it does not know in silence
    ...(config.asyncPersist && hasPersistMode && { persist_mode: 'async' }),
  }
}

function storedOf(raw: RawMessage): StoredMessage {
  return {
    subject: raw.headers['Nats-Subject'] ?? raw.subject,
    body: raw.body,
    headers: raw.headers,
    seq: Number(raw.headers['Nats-Sequence']),
    storedAt: Date.parse(raw.headers['Nats-Time-Stamp'] ?? ''),
    respond: () => undefined,
  }
}
