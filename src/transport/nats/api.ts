/**
 * The server's JSON API of JetStream: one request, its answer or the server's own words for why not.
 */
import { Fault } from '../../protocol/faults.ts'
import type { Headers } from '../bus.ts'
import type { Link, RawMessage } from './link.ts'

export const API_TIMEOUT_MS = 3000
/** Error numbers of the API that decide something. */
export const ERROR = {
  noMessageFound: 10037,
  streamNameInUse: 10058,
  streamNotFound: 10059,
  wrongLastSequence: 10071,
} as const

export interface ApiError {
  code: number
  err_code?: number
  description?: string
}
export type ApiResult = Record<string, unknown>

/** @throws {Fault} EXISTS, or FAILED with the server's own words, when the answer is an error */
export async function apiRequest(link: Link, subject: string, body: unknown): Promise<ApiResult> {
  const { result, error } = await apiExchange(link, subject, body)
  if (error !== undefined) throw apiFault(subject, error)
  return result
}

/** An error is an answer here: for those that ask whether something is there. */
export async function apiExchange(
  link: Link,
  subject: string,
  body: unknown,
): Promise<{ result: ApiResult; error: ApiError | undefined }> {
  const bytes = body === undefined ? new Uint8Array(0) : new TextEncoder().encode(JSON.stringify(body))
  return answerOf(link, subject, bytes, { timeoutMs: API_TIMEOUT_MS })
}

/** One request whose only answer is JSON. */
export async function answerOf(
  link: Link,
  subject: string,
  body: Uint8Array,
  options: { headers?: Headers; timeoutMs: number },
): Promise<{ result: ApiResult; error: ApiError | undefined }> {
  let answer: RawMessage | undefined
  await link
    .exchange(subject, body, options, (raw) => {
      answer = raw
      return true
    })
    .catch((error: unknown) => {
      throw withoutJetStream(error)
    })
  const result = JSON.parse(new TextDecoder().decode(answer!.body)) as ApiResult & { error?: ApiError }
  return { result, error: result.error }
}

export function apiFault(subject: string, error: ApiError): Fault {
  return new Fault(
    error.err_code === ERROR.streamNameInUse ? 'EXISTS' : 'FAILED',
    `JetStream: ${error.description ?? `error ${error.code}`} (${subject})`,
    { data: { status: error.code, error: error.err_code ?? null } },
  )
}

export function withoutJetStream(error: unknown): unknown {
  return error instanceof Fault && error.data['reason'] === 'no-responders'
    ? new Fault('CONN', 'JetStream does not answer, or the stream is not there', {
        data: { reason: 'no-responders' },
        cause: error,
      })
    : error
}
