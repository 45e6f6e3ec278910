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
import { checkRef, endCode, hasEnded, hasPassed, isComplete, whyNot, type Point } from './points.ts'
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
  /** the point was passed; false: the run ended without */
  passed: boolean
  /**
   * 0 when a point before the end was passed; else the run's code (of some workers: the first that is not 0)
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
  const ready = new Set<string>()
  let running = false
  let known = false
  /** A look shows one page: the whole is read when it matters. */
  const whole = async (seen: RunStatus): Promise<RunStatus> =>
    isComplete(seen, { run: ref.run })
      ? seen
      : readStatus(
          { messenger, user },
          { run: ref.run },
          { boundMs: OUTAGE_MS, signal: waiting.signal, onTrouble: waiting.onTrouble },
        )
  const passed = (status: RunStatus): boolean => {
    running ||= status.state === 'running'
    for (const worker of status.workers) if (worker.ready) ready.add(worker.forkId)
    return hasPassed(point, status, ref, { running, ready })
  }
  const seen = await waitUntil(
    messenger,
    user,
    ref,
    async (seen) => {
      checkRef(seen, ref)
      if (passed(seen)) return true
      if (!hasEnded(seen, ref) && (seen.state !== 'stopping' || point === 'done')) return false
      // it is over, or nearly: only the past can say whether the point was passed
      if (point !== 'done' && !known) {
        const past = await pastOf(messenger, ref.run)
        running ||= past.running
        for (const forkId of past.ready) ready.add(forkId)
        known = true
      }
      if (passed(seen) || hasEnded(seen, ref)) return true
      return point !== 'done' && !isComplete(seen, ref) && passed(await whole(seen))
    },
    waiting,
  )
  const status = await whole(seen)
  const reached = passed(seen) || passed(status)
  if (reached && point !== 'done') return { passed: true, code: 0, status }
  const code = endCode(status, ref)
  // ended without passing: never 0, also when it was told to stop
  return { passed: reached, code: reached ? code : code || status.code || 1, status }
}

/** What the stream of events remembers; empty when it cannot be read: then only the status counts. */
async function pastOf(messenger: Messenger, run: string): Promise<{ running: boolean; ready: string[] }> {
  const { bus, fleet } = messenger
  const stream = streamOf(fleet, 'EVENT')
  try {
    const running = await bus.getLast(stream, `${rootOf(fleet)}.event.${run}._._.running._`)
    const ready: string[] = []
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
          if (event !== null && 'phase' in event && (what === 'ready' || event.ready))
            ready.push(event.forkId)
        }
      }
    return { running: running !== null, ready }
  } catch (error) {
    if (!isFault(error)) throw error
    return { running: false, ready: [] }
  }
}
