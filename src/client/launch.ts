/**
 * Launching: by request, and where no coordinator answers by the durable door. Owns the idempotency key:
 * every launch has one, so that asking again after a lost answer cannot start a second run.
 */
import { encode } from '../protocol/codec.ts'
import { Fault, FaultBody, isFault, toFault } from '../protocol/faults.ts'
import { subjectOf, wildcardOf } from '../protocol/subjects.ts'
import { HEADERS } from '../protocol/table.ts'
import { ulid } from '../system/ulid.ts'
import type { Messenger } from '../transport/messenger.ts'
import { readEvent } from './events.ts'
import { asyncQueue } from './async-queue.ts'
import { patiently } from './timing.ts'

export interface LaunchOptions {
  /** the same key and document give the same run for 48 h; default: a new one */
  key?: string
  /** true: by the durable door at once; false: never; default: when no coordinator answers */
  durable?: boolean
  /** how long the durable door's outcome is awaited, ms; default 60 s */
  timeoutMs?: number
  signal?: AbortSignal
  /** told once when the launch lies with the bus until a coordinator comes */
  onDurable?(key: string): void
}

export interface Launched {
  run: string
  /** the key was known: this is the run that it started then */
  existing: boolean
  key: string
}

/** A failover may pass within this; then the durable door is used. */
const ASK_MS = 1500
const DURABLE_MS = 60_000
const ANSWER_EVERY_MS = 500
const KEY_CHARS_MAX = 200

/**
 * @throws {Fault} what the coordinator answered (SPEC_INVALID, PLAN_INVALID, KEY_CONFLICT…), CONN when there
 * is no bus, TIMEOUT when the
 *   durable launch was stored and no coordinator came in time (`data.key` asks for it later)
 */
export async function launchDocument(
  messenger: Messenger,
  user: string,
  document: Record<string, unknown>,
  options: LaunchOptions = {},
): Promise<Launched> {
  const { key = ulid(), durable, signal } = options
  if (!new RegExp(`^[\\x21-\\x7e]{1,${KEY_CHARS_MAX}}$`).test(key))
    throw new Fault(
      'USAGE',
      `'${key}' cannot be a key: 1 to ${KEY_CHARS_MAX} printable characters without spaces`,
    )
  if (durable === true) return launchDurably(messenger, user, document, key, options)
  try {
    const { run, existing } = await patiently(
      () => messenger.ask('coordinator.launch', { user }, document, { headers: { [HEADERS.key]: key } }),
      { boundMs: ASK_MS, signal },
    )
    return { run, existing, key }
  } catch (error) {
    if (durable === false || !isFault(error) || !['CONN', 'NOT_LEADER', 'TIMEOUT'].includes(error.code))
      throw error
    // the same key: should the request have run after all, the answer is the same run
    return launchDurably(messenger, user, document, key, options)
  }
}

async function launchDurably(
  messenger: Messenger,
  user: string,
  document: Record<string, unknown>,
  key: string,
  { timeoutMs = DURABLE_MS, signal, onDurable }: LaunchOptions,
): Promise<Launched> {
  const { bus, fleet } = messenger
  const deadline = performance.now() + timeoutMs
  const nudges = asyncQueue<null>()
  // the outcome is an event; the stream of events is not asked, the coordinator is: it remembers the key for
  // 48 h
  const subscription = bus.subscribe(wildcardOf(fleet, 'event.run'), (message) => {
    const event = readEvent(messenger, message)
    if (event !== null && 'key' in event && event.key === key) nudges.push(null)
  })
  try {
    await patiently(
      () =>
        bus.append(subjectOf(fleet, 'launch', { user }), encode(document, 'json'), {
          headers: { [HEADERS.key]: key },
        }),
      { boundMs: Math.min(timeoutMs, 5000), signal },
    ).catch((error: unknown) => {
      throw toFault(error).code === 'CONN'
        ? new Fault('CONN', 'no coordinator answers, and the durable door is not there either', {
            hint: 'start what is missing: troupe up',
            cause: error,
          })
        : error
    })
    onDurable?.(key)
    for (;;) {
      const answer = await messenger.ask('coordinator.answer', { user }, { key }).catch((error: unknown) => {
        if (
          isFault(error) &&
          ['WORKER_NOT_FOUND', 'CONN', 'NOT_LEADER', 'TIMEOUT', 'OVERLOADED'].includes(error.code)
        )
          return null
        throw error
      })
      if (answer?.fault != null) throw Fault.fromBody(FaultBody.parse(answer.fault))
      if (answer?.run != null) return { run: answer.run, existing: false, key }
      const left = deadline - performance.now()
      if (left <= 0 || signal?.aborted)
        throw new Fault(
          'TIMEOUT',
          `no coordinator took the launch within ${timeoutMs} ms; it is kept, and runs when one comes`,
          { data: { key }, hint: `ask again with the same file: troupe launch --key ${key} -f FILE` },
        )
      await nudges.take(signal, Math.min(ANSWER_EVERY_MS, left))
    }
  } finally {
    subscription.unsubscribe()
  }
}
