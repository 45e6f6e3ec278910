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
  /** @throws {Fault} what the other side answered, or CONN, TIMEOUT, PERMISSION */
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
  /** live publications of a row; what does not fit its schema or its row is dropped and counted */
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

export function messengerOn(bus: Bus, fleet: string, form: Form = 'msgpack'): Messenger {
  let refused = 0
  const contentHeader = (f: Form): Headers => (f === 'msgpack' ? { [HEADERS.contentType]: MSGPACK } : {})

  const read = <N extends RowName>(name: N, message: Message): Request<N> | null => {
    const params = parseSubject(fleet, name, message.subject)
    if (params === null) return null
    const schema: z.ZodType | null = TABLE[name].body
    const parsed =
      schema === null
        ? { success: true as const, data: message.body }
        : schema.safeParse(decode(message.body, message.headers[HEADERS.contentType]))
    return parsed.success ? { name, params, body: parsed.data as BodyOf<N>, headers: message.headers } : null
  }
  const readQuietly = <N extends RowName>(name: N, message: Message): Request<N> | null => {
    try {
      const result = read(name, message)
      if (result === null) refused++
      return result
    } catch {
      refused++
      return null
    }
  }

  return {
    bus,
    fleet,
    get refused() {
      return refused
    },
    read: readQuietly,

    async ask(name, params, body, options = {}) {
      const row = TABLE[name]
      const sent = row.body.parse(body)
      const answer = await bus.request(subjectOf(fleet, name, params), encode(sent, form), {
        headers: { ...contentHeader(form), ...options.headers },
        timeoutMs: options.timeoutMs ?? row.timeoutMs,
      })
      const value = decode(answer.body, answer.headers[HEADERS.contentType])
      if (answer.headers[HEADERS.error] !== undefined) {
        const fault = FaultBody.safeParse(value)
        throw fault.success
          ? Fault.fromBody(fault.data)
          : new Fault('FAILED', answer.headers[HEADERS.error] ?? 'an error without a body')
      }
      const reply = row.reply.safeParse(value)
      if (!reply.success)
        throw new Fault('REQUEST_INVALID', `the answer to ${name} does not fit: ${firstIssue(reply.error)}`)
      return reply.data as ReplyOf<typeof name>
    },

    serve(name, params, onRequest) {
      return bus.subscribe(wildcardOf(fleet, name, params), (message) => {
        const answerForm = formOf(message.headers[HEADERS.contentType])
        let answered = false
        const respond = (value: unknown, headers: Headers = {}): void =>
          message.respond(encode(value, answerForm), { ...contentHeader(answerForm), ...headers })
        const send = (value: unknown, headers: Headers = {}): void => {
          if (answered) throw new Error(`${name} was answered twice`)
          answered = true
          try {
            respond(value, headers)
          } catch (error) {
            if (!isTooLarge(error)) throw error
            const fault = replyTooLarge(name, error)
            respond(fault.toBody(), faultHeaders(fault))
          }
        }
        const fail = (fault: Fault): void => send(fault.toBody(), faultHeaders(fault))
        try {
          const fitting = parseSubject(fleet, name, message.subject)
          if (fitting === null) {
            refused++
            return fail(new Fault('REQUEST_INVALID', `'${message.subject}' is no subject of ${name}`))
          }
          const parsed = (TABLE[name].body as z.ZodType).safeParse(
            decode(message.body, message.headers[HEADERS.contentType]),
          )
          if (!parsed.success) {
            refused++
            return fail(new Fault('REQUEST_INVALID', `${name}: ${firstIssue(parsed.error)}`))
          }
          onRequest(
            { name, params: fitting, body: parsed.data as BodyOf<typeof name>, headers: message.headers },
            { reply: send, fault: fail },
          )
        } catch (error) {
          if (!answered) fail(toFault(error))
          else throw error
        }
      })
    },

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

    listen(name, params, onMessage) {
      return bus.subscribe(wildcardOf(fleet, name, params), (message) => {
        const fitting = readQuietly(name, message)
        if (fitting !== null) onMessage(fitting)
      })
    },
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
