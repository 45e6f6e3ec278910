/**
 * Waiting for something to be true of a run. Never trusts a single event: subscribe first, then ask for the
 * status, and ask again at each event, after each lost link, and now and then.
 */
import { Fault, isFault, toFault } from '../protocol/faults.ts'
import type { RunStatus } from '../protocol/shapes.ts'
import { rootOf } from '../protocol/subjects.ts'
import { streamOf } from '../protocol/table.ts'
import type { Messenger } from '../transport/messenger.ts'
import { eventSubject, readEvent } from './events.ts'
import { asyncQueue } from './async-queue.ts'
import { readHead, readStatus, type Asker, type Asking } from './pages.ts'
import {
  checkRef,
  endCode,
  hasEnded,
  hasPassed,
  holds,
  isComplete,
  whyNot,
  type Passed,
  type Point,
} from './points.ts'
import { type Ref } from './refs.ts'
import { sleep, throwIfAborted } from './timing.ts'

export interface Waiting {
  /** Infinity when left out */
  timeoutMs?: number
  signal?: AbortSignal
  /** each status that was seen, also the last */
  onStatus?(status: RunStatus): void
  /** why nothing can be seen now: the bus or the coordinator does not answer */
  onTrouble?(fault: Fault): void
}

/** How long a silent coordinator is waited for while something is awaited; then the asker hears CONN. */
const OUTAGE_MS = 300_000
/** An event may be lost with the stream; nobody waits longer than this for the news. */
const LOOK_AGAIN_MS = 5000
/** Sixty-four workers that start at once are one look, not sixty-four. */
const LOOK_PAUSE_MS = 30

/**
 * A ref is decided about with few bytes: the head of its run, and its workers where they are named one by
 * one. The workers of a run or a role are those of the first page: the head counts them all.
 */
export async function lookAt(asker: Asker, ref: Ref, asking: Asking = {}): Promise<RunStatus> {
  const { run, role, indices, ranks } = ref
  if (role === undefined) return readHead(asker, { run }, asking)
  if (ranks !== undefined) return readStatus(asker, { run, role }, asking)
  if (indices === undefined) return readHead(asker, { run, role }, asking)
  return indices.length === 1
    ? readHead(asker, { run, role, index: indices[0]! }, asking)
    : readStatus(asker, { run, role }, asking)
}

/**
 * @param until  is given every status
 * @throws {Fault} WORKER_TIMEOUT with `data.status`, WORKER_NOT_FOUND, CONN after a long outage
 */
export async function waitUntil(
  messenger: Messenger,
  user: string,
  ref: Ref,
  until: (status: RunStatus) => boolean | Promise<boolean>,
  waiting: Waiting = {},
): Promise<RunStatus> {
  const { timeoutMs = Infinity, signal, onStatus, onTrouble } = waiting
  const { run } = ref
  const deadline = performance.now() + timeoutMs
  const left = (): number => deadline - performance.now()
  const nudges = asyncQueue<null>()
  const nudge = (): void => void (nudges.size === 0 && nudges.push(null))
  const subscription = messenger.bus.subscribe(eventSubject(messenger.fleet, run), nudge)
  const offLink = messenger.bus.onLink((up) => void (up && nudge()))
  let last: RunStatus | null = null
  const late = (): Fault =>
    new Fault(
      'WORKER_TIMEOUT',
      last === null
        ? `no status of ${run} within ${timeoutMs} ms`
        : `still waiting after ${timeoutMs} ms: ${whyNot(last, 'ready', ref)}`,
      { data: { ...(last !== null && { status: last }) } },
    )
  try {
    for (;;) {
      throwIfAborted(signal)
      const status = await lookAt({ messenger, user }, ref, {
        boundMs: Math.min(OUTAGE_MS, left()),
        signal,
        onTrouble,
      }).catch((error: unknown) => {
        throw left() <= 0 || (last !== null && timeoutMs < OUTAGE_MS && toFault(error).retryable)
          ? late()
          : error
      })
      last = status
      onStatus?.(status)
      if (await until(status)) return status
      if (left() <= 0) throw late()
      await nudges.take(signal, Math.min(LOOK_AGAIN_MS, left()))
      await sleep(Math.max(0, Math.min(LOOK_PAUSE_MS, left())), signal)
      while (nudges.poll() !== null || nudges.size > 0);
    }
  } finally {
    subscription.unsubscribe()
    offLink()
  }
}

export interface WaitResult {
  /** the point was reached, be it that it does not hold any more */
  reached: boolean
  /** `code` is 0: the point holds; of `done`, the run succeeded */
  ok: boolean
  /**
   * 0 while a point before the end holds. Of what has ended it is the run's code (of some workers: the first
   * that is not 0), and never 0 where the point was not reached, or was `ready`
   */
  code: number
  status: RunStatus
}

/** @throws {Fault} WORKER_TIMEOUT (exit 124), WORKER_NOT_FOUND, CONN */
export async function waitForPoint(
  messenger: Messenger,
  user: string,
  ref: Ref,
  point: Point,
  waiting: Waiting = {},
): Promise<WaitResult> {
  const { signal, onTrouble } = waiting
  /** A look shows one page: the whole is read when it matters. */
  const whole = async (seen: RunStatus): Promise<RunStatus> =>
    isComplete(seen, { run: ref.run })
      ? seen
      : readStatus({ messenger, user }, { run: ref.run }, { boundMs: OUTAGE_MS, signal, onTrouble })
  const seen = await waitUntil(
    messenger,
    user,
    ref,
    async (seen) => {
      checkRef(seen, ref)
      return hasEnded(seen, ref) || (holds(point, seen, ref) ?? holds(point, await whole(seen), ref) === true)
    },
    waiting,
  )
  const status = await whole(seen)
  if (!hasEnded(seen, ref)) return { reached: true, ok: true, code: 0, status }
  const reached = point === 'done' || hasPassed(point, status, ref, await pastOf(messenger, ref.run, signal))
  const code = endCode(status, ref)
  const isNever0 = !reached || point === 'ready'
  return { reached, ok: code === 0 && !isNever0, code: isNever0 ? code || status.code || 1 : code, status }
}

/**
 * What the stream of events remembers of a run that has ended; empty when it cannot be read: then only the
 * status counts. A copy that has the end has what came before it. One that is behind is read again; of an old
 * run the end may be gone.
 */
async function pastOf(messenger: Messenger, run: string, signal?: AbortSignal): Promise<Passed> {
  const { bus, fleet } = messenger
  try {
    const ended = `${rootOf(fleet)}.event.${run}._._.ended._`
    for (let tries = 1; tries < PAST_TRIES; tries++) {
      if ((await bus.getLast(streamOf(fleet, 'EVENT'), ended)) !== null) break
      await sleep(PAST_PAUSE_MS, signal)
    }
    return await readPassed(messenger, run)
  } catch (error) {
    if (!isFault(error)) throw error
    return { running: false, ready: new Set() }
  }
}

const PAST_TRIES = 6
const PAST_PAUSE_MS = 100

async function readPassed(messenger: Messenger, run: string): Promise<Passed> {
  const { bus, fleet } = messenger
  const stream = streamOf(fleet, 'EVENT')
  const running = await bus.getLast(stream, `${rootOf(fleet)}.event.${run}._._.running._`)
  const ready = new Set<string>()
  // without a probe a worker is ready when it is started
  for (const what of ['ready', 'started'])
    for (let seq = 1; ;) {
      const batch = await bus.getMessages(stream, {
        seq,
        subject: `${rootOf(fleet)}.event.${run}.*.*.${what}.*`,
        count: 256,
      })
      if (batch.length === 0) break
      for (const message of batch) {
        seq = message.seq + 1
        const event = readEvent(messenger, message)
        if (event !== null && 'phase' in event && (what === 'ready' || event.ready)) ready.add(event.forkId)
      }
    }
  return { running: running !== null, ready }
}
