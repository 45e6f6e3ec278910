/**
 * Reading a stream in the word of its leader: one JSON request a message. It is never behind what was
 * acknowledged, as an answer of Direct Get may be on a replicated stream. Owns the form of these answers.
 */
import { Fault } from '../../protocol/faults.ts'
import type { Headers, Message } from '../bus.ts'
import { apiExchange, apiFault, ERROR } from './api.ts'
import type { Link } from './link.ts'

type StoredMessage = Message & { seq: number }
type Query = { last_by_subj: string } | { seq: number; next_by_subj: string }

/** Answers of the largest messages under way at once, as base64: below the 64 MB that the server keeps. */
const WINDOW = 8

export function lastByLeader(link: Link, stream: string, subject: string): Promise<StoredMessage | null> {
  return askLeader(link, stream, { last_by_subj: subject })
}

/** Several are asked for at once, by the numbers that they have when none is missing in between. */
export async function pageByLeader(
  link: Link,
  stream: string,
  { seq, subject, count }: { seq: number; subject: string; count: number },
): Promise<StoredMessage[]> {
  const from = (wanted: number): Promise<StoredMessage | null> =>
    askLeader(link, stream, { seq: wanted, next_by_subj: subject })
  const first = await from(seq)
  const found = first === null ? [] : [first]
  while (found.length > 0 && found.length < count) {
    const next = found.at(-1)!.seq + 1
    const size = Math.min(WINDOW, count - found.length)
    const window = await Promise.all(Array.from({ length: size }, (_, i) => from(next + i)))
    // one that was stored meanwhile may stand behind one that was asked for too early
    const end = window.findIndex((message, i) => message?.seq !== next + i)
    found.push(...(window.slice(0, end < 0 ? size : end) as StoredMessage[]))
    if (end >= 0) break
  }
  return found
}

async function askLeader(link: Link, stream: string, query: Query): Promise<StoredMessage | null> {
  const subject = `$JS.API.STREAM.MSG.GET.${stream}`
  const { result, error } = await apiExchange(link, subject, query)
  if (error?.err_code === ERROR.noMessageFound) return null
  if (error?.err_code === ERROR.streamNotFound)
    throw new Fault('CONN', `there is no stream ${stream}`, { data: { reason: 'no-stream' } })
  if (error !== undefined) throw apiFault(subject, error)
  return storedOf(result['message'] as StoredJson)
}

/** As the server writes it; bytes are base64. */
interface StoredJson {
  subject: string
  seq: number
  data?: string
  hdrs?: string
  time: string
}

function storedOf({ subject, seq, data = '', hdrs, time }: StoredJson): StoredMessage {
  return {
    subject,
    body: new Uint8Array(Buffer.from(data, 'base64')),
    headers: hdrs === undefined ? {} : headersOf(Buffer.from(hdrs, 'base64').toString('utf8')),
    seq,
    storedAt: Date.parse(time),
    respond: () => undefined,
  }
}

/** `NATS/1.0`, then a line for each. */
function headersOf(text: string): Headers {
  const lines = text.split('\r\n').slice(1)
  return Object.fromEntries(
    lines
      .filter((line) => line.includes(':'))
      .map((line) => {
        const colon = line.indexOf(':')
        return [line.slice(0, colon), line.slice(colon + 1).trim()]
      }),
  )
}
