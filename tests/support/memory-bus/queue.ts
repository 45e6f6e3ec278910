/**
 * The server's side of one durable consumer on an in-memory work queue: one message in hand, redelivery after
 * ack_wait. Knows no links: who pulls hands in how to reach it.
 */
import type { Clock } from '../../../src/system/clock.ts'
import type { MemoryStream, StoredMessage } from './stream.ts'

export interface Puller {
  /**
   * false: the connection is gone, the next in line gets the message. `before` counts earlier deliveries of
   * it
   */
  deliver(message: StoredMessage, before: number): boolean
}

export interface MemoryQueue {
  pull(puller: Puller): void
  ack(seq: number): void
  working(seq: number): void
  nak(seq: number): void
  /** something was stored */
  wake(): void
}

export function memoryQueue(stream: MemoryStream, ackWaitMs: number, clock: Clock): MemoryQueue {
  let waiting: Puller[] = []
  let hand: { seq: number; until: number } | null = null
  let before = 0
  let lastDelivered = 0

  const expire = (held: { seq: number; until: number }): void => {
    if (hand !== held) return
    const left = held.until - clock.now()
    if (left > 0) return clock.after(left, () => expire(held))
    hand = null
    wake()
  }

  const wake = (): void => {
    if (hand !== null) return
    const message = stream.messages[0]
    if (message === undefined) return
    for (let puller = waiting.shift(); puller !== undefined; puller = waiting.shift()) {
      if (message.seq !== lastDelivered) before = 0
      if (!puller.deliver(message, before)) continue
      before++
      lastDelivered = message.seq
      const held = { seq: message.seq, until: clock.now() + ackWaitMs }
      hand = held
      clock.after(ackWaitMs, () => expire(held))
      return
    }
  }

  return {
    pull(puller) {
      waiting = [...waiting.filter((other) => other !== puller), puller]
      wake()
    },
    ack(seq) {
      stream.remove(seq)
      if (hand?.seq === seq) hand = null
      wake()
    },
    working(seq) {
      if (hand?.seq === seq) hand.until = clock.now() + ackWaitMs
    },
    nak(seq) {
      if (hand?.seq === seq) hand = null
      wake()
    },
    wake,
  }
}
