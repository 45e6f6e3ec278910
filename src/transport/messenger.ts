/**
 * The typed layer over a Bus: rows of the table become calls. Encodes, validates at both ends, turns faults
 * into headers and back, and refuses a message whose own subject does not fit its row.
 */
import * as z from 'zod'
import { decode, encode, formOf, type Form } from '../protocol/codec.ts'
import { CATALOGUE, Fault, FaultBody, toFault } from '../protocol/faults.ts'
import { parseSubject, subjectOf, wildcardOf } from '../protocol/subjects.ts'
import {
  HEADERS,
  MSGPACK,
  TABLE,
  type BodyOf,
  type ParamsOf,
  type ReplyOf,
  type RowName,
  type RowsOf,
} from '../protocol/table.ts'
import type { Bus, Headers, Message, Subscription } from './bus.ts'
import { isTooLarge } from './payload.ts'

export interface Request<N extends RowName> {
  name: N
  params: Record<keyof ParamsOf<N>, string>
  body: BodyOf<N>
  headers: Headers
}

/** A request that waits for its answer; exactly one of the two is called, once. */
export interface Responder<N extends RowName> {
  reply(body: ReplyOf<N>): void
  fault(fault: Fault): void
}

export interface Messenger {
  readonly bus: Bus
  readonly fleet: string
  /** @throws {Fault} the other side's, or CONN, TIMEOUT, PERMISSION */
  ask<N extends RowsOf<'request'>>(
    name: N,
    params: ParamsOf<N>,
    body: z.input<(typeof TABLE)[N]['body']>,
    options?: { headers?: Headers; timeoutMs?: number },
  ): Promise<ReplyOf<N>>
  serve<N extends RowsOf<'request'>>(
    name: N,
    params: Partial<ParamsOf<N>>,
    onRequest: (request: Request<N>, responder: Responder<N>) => void,
  ): Subscription
  /** acknowledged publication of an event, archive entry; JSON. `id` makes a retry harmless */
  emit<N extends RowsOf<'event' | 'archive'>>(name: N, params: ParamsOf<N>, body: BodyOf<N>): Promise<void>
  /** a publication that may be lost */
  cast<N extends RowsOf<'beat'>>(name: N, params: ParamsOf<N>, body: BodyOf<N>): void
  /** Live publications of a row; one that does not fit its schema or its row is dropped and counted. */
  listen<N extends RowsOf<'event' | 'beat' | 'archive'>>(
    name: N,
    params: Partial<ParamsOf<N>>,
    onMessage: (message: Request<N>) => void,
  ): Subscription
  /** one stored or received message of a row, or null when it does not fit */
  read<N extends RowName>(name: N, message: Message): Request<N> | null
  /** how many messages did not fit their row */
  readonly refused: number
}

/** A messenger as its functions share it. */
interface Wire {
  readonly bus: Bus
  readonly fleet: string
  readonly form: Form
  /** Messages that did not fit their row. */
  refused: number
}

export function messengerOn(bus: Bus, fleet: string, form: Form = 'msgpack'): Messenger {
  const w: Wire = { bus, fleet, form, refused: 0 }
  return {
    bus,
    fleet,
    get refused() {
      return w.refused
    },
    read: (name, message) => readQuietly(w, name, message),
    ask: (name, params, body, options = {}) => ask(w, name, params, body, options),
    serve: (name, params, onRequest) =>
      bus.subscribe(wildcardOf(fleet, name, params), (message) => serveOne(w, name, message, onRequest)),
    async emit(name, params, body) {
      await bus.append(
        subjectOf(fleet, name, params),
        encode((TABLE[name].body as z.ZodType).parse(body), 'json'),
        { id: emitIdOf(body as never), timeoutMs: TABLE[name].timeoutMs },
      )
    },
    cast(name, params, body) {
      bus.publish(
        subjectOf(fleet, name, params),
        encode((TABLE[name].body as z.ZodType).parse(body), form),
        contentHeader(form),
      )
    },
    listen: (name, params, onMessage) =>
      bus.subscribe(wildcardOf(fleet, name, params), (message) => {
        const fitting = readQuietly(w, name, message)
        if (fitting !== null) onMessage(fitting)
      }),
  }
}

function contentHeader(form: Form): Headers {
  return form === 'msgpack' ? { [HEADERS.contentType]: MSGPACK } : {}
}

function read<N extends RowName>(fleet: string, name: N, message: Message): Request<N> | null {
  const params = parseSubject(fleet, name, message.subject)
  if (params === null) return null
  const schema: z.ZodType | null = TABLE[name].body
  const parsed =
    schema === null
      ? { success: true as const, data: message.body }
      : schema.safeParse(decode(message.body, message.headers[HEADERS.contentType]))
  return parsed.success ? { name, params, body: parsed.data as BodyOf<N>, headers: message.headers } : null
}

function readQuietly<N extends RowName>(w: Wire, name: N, message: Message): Request<N> | null {
  try {
    const result = read(w.fleet, name, message)
    if (result === null) w.refused++
    return result
  } catch {
    w.refused++
    return null
  }
}

async function ask<N extends RowsOf<'request'>>(
  { bus, fleet, form }: Wire,
  name: N,
  params: ParamsOf<N>,
  body: z.input<(typeof TABLE)[N]['body']>,
  options: { headers?: Headers; timeoutMs?: number },
): Promise<ReplyOf<N>> {
  const row = TABLE[name]
  const sent = row.body.parse(body)
  const answer = await bus.request(subjectOf(fleet, name, params), encode(sent, form), {
    headers: { ...contentHeader(form), ...options.headers },
    timeoutMs: options.timeoutMs ?? row.timeoutMs,
  })
  const value = decode(answer.body, answer.headers[HEADERS.contentType])
  const error = answer.headers[HEADERS.error]
  if (error !== undefined) {
    const fault = FaultBody.safeParse(value)
    throw fault.success ? Fault.fromBody(fault.data) : new Fault('FAILED', error)
  }
  const reply = row.reply.safeParse(value)
  if (!reply.success)
    throw new Fault('REQUEST_INVALID', `the answer to ${name} does not fit: ${firstIssue(reply.error)}`)
  return reply.data as ReplyOf<N>
}

/**
 * Hand one request over, or refuse it; a handler that throws before it answers has answered with its fault.
 */
function serveOne<N extends RowsOf<'request'>>(
  w: Wire,
  name: N,
  message: Message,
  onRequest: (request: Request<N>, responder: Responder<N>) => void,
): void {
  let answered = false
  const send = (value: unknown, headers: Headers = {}): void => {
    if (answered) throw new Error(`${name} was answered twice`)
    answered = true
    respondOrSayTooLarge(name, message, value, headers)
  }
  const fail = (fault: Fault): void => send(fault.toBody(), faultHeaders(fault))
  const refuse = (text: string): void => {
    w.refused++
    fail(new Fault('REQUEST_INVALID', text))
  }
  try {
    const params = parseSubject(w.fleet, name, message.subject)
    if (params === null) return refuse(`'${message.subject}' is no subject of ${name}`)
    const body = (TABLE[name].body as z.ZodType).safeParse(
      decode(message.body, message.headers[HEADERS.contentType]),
    )
    if (!body.success) return refuse(`${name}: ${firstIssue(body.error)}`)
    onRequest(
      { name, params, body: body.data as BodyOf<N>, headers: message.headers },
      { reply: send, fault: fail },
    )
  } catch (error) {
    if (answered) throw error
    fail(toFault(error))
  }
}

function respondOrSayTooLarge(name: RowName, message: Message, value: unknown, headers: Headers): void {
  const form = formOf(message.headers[HEADERS.contentType])
  const respond = (body: unknown, more: Headers): void =>
    message.respond(encode(body, form), { ...contentHeader(form), ...more })
  try {
    respond(value, headers)
  } catch (error) {
    if (!isTooLarge(error)) throw error
    const fault = replyTooLarge(name, error)
    respond(fault.toBody(), faultHeaders(fault))
  }
}

function faultHeaders(fault: Fault): Headers {
  return {
    [HEADERS.error]: `${fault.code}: ${fault.message}`.replace(/[\r\n]+/g, ' ').slice(0, 400),
    [HEADERS.errorCode]: String(CATALOGUE[fault.code].status),
  }
}

/** Without it the asker would wait for nothing, and not know why. */
function replyTooLarge(name: RowName, { data, cause }: Fault): Fault {
  return new Fault(
    'REPLY_TOO_LARGE',
    `the answer to ${name} has ${String(data['bytes'])} bytes; the server takes at most ${String(data['bytesMax'])}`,
    { data: { bytes: data['bytes'], bytesMax: data['bytesMax'] }, cause },
  )
}

/** An event, or a part of a run's archive, has one id: told again it is the same. */
export function emitIdOf(body: { id: string } | { run: string; part: number }): string {
  return 'id' in body ? body.id : `${body.run}.${body.part}`
}

function firstIssue(error: z.ZodError): string {
  const issue = error.issues[0]
  return issue
    ? `${issue.path.length > 0 ? `${issue.path.join('.')}: ` : ''}${issue.message}`
    : 'does not fit'
}
