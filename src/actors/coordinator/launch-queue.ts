/**
 * The durable door: launches from the work queue, one in hand. It is acknowledged when its answer is in
 * STATE, not before; an invalid one is answered and ended after one try.
 */
import type { Fact } from '../../core/coordinator/messages.ts'
import { encode } from '../../protocol/codec.ts'
import { Fault, type FaultBody } from '../../protocol/faults.ts'
import { isInbox } from '../../protocol/permissions.ts'
import { parseSubject } from '../../protocol/subjects.ts'
import { HEADERS, streamOf } from '../../protocol/table.ts'
import type { Clock } from '../../system/clock.ts'
import type { Bus, QueuedMessage } from '../../transport/bus.ts'
import type { Messenger } from '../../transport/messenger.ts'

export interface LaunchQueue {
  answer(seq: number, answer: { run: string | null; fault: FaultBody | null }): void
  /** it comes again at once: by then its key has an answer */
  giveBack(seq: number): void
  close(): void
}

const CONSUMER = 'coordinator'
const ACK_WAIT_MS = 2000
const WORKING_MS = 500
/** the coordinator has too much to do, or may not act now */
const AGAIN_MS = 250

interface QueueOptions {
  bus: Bus
  messenger: Messenger
  fleet: string
  clock: Clock
  /** false: not now */
  offer(fact: Fact): boolean
  log(fields: Record<string, unknown>): void
}

interface Queue extends QueueOptions {
  /** The launch in hand. */
  hand: { message: QueuedMessage; done(): void } | null
  closed: boolean
}

export async function serveLaunchQueue(options: QueueOptions): Promise<LaunchQueue> {
  const { bus, fleet } = options
  const q: Queue = { ...options, hand: null, closed: false }
  const stopConsuming = await bus.consumeQueue(streamOf(fleet, 'LAUNCH'), CONSUMER, ACK_WAIT_MS, (message) =>
    take(q, message),
  )
  return {
    answer(seq, outcome) {
      if (q.hand?.message.seq === seq) answer(q, q.hand, outcome)
    },
    giveBack(seq) {
      if (q.hand?.message.seq !== seq) return
      q.hand.message.nak()
      q.hand.done()
    },
    close() {
      q.closed = true
      q.hand?.message.nak()
      q.hand?.done()
      void stopConsuming()
    },
  }
}

/** Hold a launch until it is answered: the server hears meanwhile that it is worked on. */
function take(q: Queue, message: QueuedMessage): Promise<void> {
  return new Promise((resolve) => {
    const stopWorking = q.clock.every(WORKING_MS, () => message.working())
    q.hand = {
      message,
      done() {
        stopWorking()
        q.hand = null
        resolve()
      },
    }
    const tryOffer = (): void => {
      if (q.closed || q.hand?.message !== message) return
      if (!q.offer(factOf(q, message))) q.clock.after(AGAIN_MS, tryOffer)
    }
    tryOffer()
  })
}

function factOf({ fleet, messenger }: Queue, message: QueuedMessage): Fact {
  const params = parseSubject(fleet, 'launch', message.subject)
  const read = messenger.read('launch', message)
  const noDocument = 'the body is no launch document: neither JSON nor msgpack of a mapping'
  return {
    kind: 'queued-launch',
    seq: message.seq,
    user: params?.user ?? 'unknown',
    key: message.headers[HEADERS.key] ?? null,
    storedAt: message.storedAt,
    body: read?.body ?? null,
    fault: read === null ? new Fault('REQUEST_INVALID', noDocument).toBody() : null,
  }
}

function answer(
  { bus, log }: Queue,
  { message, done }: NonNullable<Queue['hand']>,
  { run, fault }: { run: string | null; fault: FaultBody | null },
): void {
  const replyTo = message.headers[HEADERS.replyTo]
  // Only an inbox is answered: the coordinator may publish more than its asker may.
  if (replyTo !== undefined && isInbox(replyTo))
    bus.publish(
      replyTo,
      encode(fault ?? { run }, 'json'),
      fault === null
        ? {}
        : { [HEADERS.error]: `${fault.code}: ${fault.message}`.replace(/[\r\n]+/g, ' ').slice(0, 400) },
    )
  message.ack().then(done, (error: unknown) => {
    // it comes again, and its key gives the same answer
    const { seq } = message
    log({ level: 'warn', msg: 'a queued launch was not acknowledged', seq, error: String(error) })
    done()
  })
}
