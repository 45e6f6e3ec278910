/**
 * JetStream for the NATS bus, by the server's own JSON API (api.ts): acknowledged appends, and the past by
 * Direct Get (which makes no consumer). Streams are made in ensure-stream.ts; the one consumer there is, of a
 * work queue, stands in work-queue.ts.
 */
import { Fault } from '../../protocol/faults.ts'
import type { AppendOptions, Bus, Headers, Message } from '../bus.ts'
import { answerOf, API_TIMEOUT_MS, apiFault, apiRequest, ERROR, withoutJetStream } from './api.ts'
import { ensureStreamOn } from './ensure-stream.ts'
import { lastByLeader, pageByLeader } from './leader-reads.ts'
import type { Link, RawMessage } from './link.ts'
import { consumeQueueOn } from './work-queue.ts'

type JetStream = Pick<
  Bus,
  'append' | 'ensureStream' | 'getMessage' | 'getMessages' | 'getLast' | 'purge' | 'consumeQueue'
>
type StoredMessage = Message & { seq: number }

const APPEND_TIMEOUT_MS = 2000

export function jetStreamOn(link: Link): JetStream {
  return {
    append: (subject, body, options = {}) => appendOn(link, subject, body, options),
    ensureStream: (config) => ensureStreamOn(link, config),
    getMessage: async (stream, { seq, subject = '>' }) =>
      (await directGet(link, stream, { seq: Math.max(1, seq), next_by_subj: subject }))[0] ?? null,
    getMessages: (stream, { seq, subject = '>', count, from }) =>
      from === 'leader'
        ? pageByLeader(link, stream, { seq: Math.max(1, seq), subject, count })
        : directGet(link, stream, { seq: Math.max(1, seq), next_by_subj: subject, batch: count }),
    // a complete subject goes into the API subject: a credential can be held to the last message of one
    // subject, as an agent's is
    getLast: async (stream, subject, from) => {
      if (from === 'leader') return lastByLeader(link, stream, subject)
      const found = await (/(^|\.)[*>](\.|$)/.test(subject)
          ? directGet(link, stream, { last_by_subj: subject })
        : directGet(link, `${stream}.${subject}`, null))
      return found[0] ?? null
    },
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

async function appendOn(
  link: Link,
  subject: string,
  body: Uint8Array,
  { headers, expectedLastSeq, id, timeoutMs = APPEND_TIMEOUT_MS }: AppendOptions,
): Promise<{ seq: number; duplicate: boolean }> {
  const sent: Headers = {
    ...headers,
    ...(expectedLastSeq !== undefined && { 'Nats-Expected-Last-Sequence': String(expectedLastSeq) }),
    ...(id !== undefined && { 'Nats-Msg-Id': id }),
  }
  const { result, error } = await answerOf(link, subject, body, { headers: sent, timeoutMs })
  if (error?.err_code === ERROR.wrongLastSequence)
    throw new Fault('EXISTS', `JetStream: ${error.description ?? 'wrong last sequence'}`, {
      data: { reason: 'wrong-last-sequence' },
    })
  if (error !== undefined) throw apiFault(subject, error)
  const ack = result as { seq?: number; duplicate?: boolean }
  return { seq: ack.seq ?? 0, duplicate: ack.duplicate === true }
}

async function directGet(
  link: Link,
  stream: string,
  query: Record<string, unknown> | null,
): Promise<StoredMessage[]> {
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
