/**
 * Waiting for a bus: how long it is tried, and how often its trouble is told: at once and then each 10 s,
 * however often it is tried meanwhile. Knows nothing of NATS.
 */
import { isFault, type Fault } from '../../protocol/faults.ts'
import type { Clock } from '../../system/clock.ts'
import { withWords } from './trouble.ts'

const TELL_MS = 10_000
const PAUSE_MS = 150
/** The last try of a wait has so long, at least. */
const TRY_MS_MIN = 200
/** Whoever is refused is refused again, as long as its credential is the same. */
const REFUSED_PAUSE_MS = 500

export function pauseAfter(fault: Fault | null): number {
  return fault?.code === 'PERMISSION' ? REFUSED_PAUSE_MS : PAUSE_MS
}

export interface Dialling<T> {
  /** one try of all addresses. @throws {Fault} */
  attempt(timeoutMs: number): Promise<T>
  /** from what an attempt ended with to each address with its reason */
  diagnose(fault: Fault): Promise<Fault>
  /** whether trying again may help */
  passes(fault: Fault): boolean
  tell(trouble: Fault): void
  clock: Clock
  /** 0: one try alone; Infinity: until there is a bus */
  waitMs: number
  /** the longest that one try may take */
  tryMs: number
  signal?: AbortSignal | undefined
}

/** @throws {Fault} the last one: the time is over, it was aborted, or trying again does not help */
export async function dial<T>(dialling: Dialling<T>): Promise<T> {
  const { attempt, diagnose, passes, tell, clock, waitMs, tryMs, signal } = dialling
  const until = clock.now() + waitMs
  let latest: Fault
  let stopTelling: (() => void) | null = null
  const tellLatest = (): void => void diagnose(latest).then((fault) => stopTelling !== null && tell(fault))
  try {
    for (;;) {
      try {
        return await attempt(waitMs > 0 ? Math.max(TRY_MS_MIN, Math.min(tryMs, until - clock.now())) : tryMs)
      } catch (error) {
        if (!isFault(error)) throw error
        latest = error
      }
      const pauseMs = pauseAfter(latest)
      const isOver = clock.now() + pauseMs >= until
      if (isOver || !passes(latest) || signal?.aborted === true) {
        const whole = await diagnose(latest)
        throw waitMs > 0 && isOver ? withWords(whole, `; waited ${waitMs / 1000} s for it`) : whole
      }
      if (stopTelling === null) {
        stopTelling = clock.every(TELL_MS, tellLatest)
        tellLatest()
      }
      await new Promise<void>((resolve) => clock.after(pauseMs, resolve))
    }
  } finally {
    stopTelling?.()
    stopTelling = null
  }
}

/** What is told of a link that was there and broke. */
export interface DownTeller {
  /** @param cut  why it broke, as far as it is known at once */
  down(cut: Fault): void
  up(): void
  end(): void
}

/** @param diagnose  null: nothing is in the way any more */
export function downTeller(
  diagnose: () => Promise<Fault | null>,
  tell: (trouble: Fault) => void,
  clock: Clock,
): DownTeller {
  let stop: (() => void) | null = null
  /** what has to be said of this break before the link is up again */
  let untold: Fault | null = null
  const flush = (fault: Fault): void => {
    if (untold === null) return
    untold = null
    tell(fault)
  }
  const end = (): void => {
    stop?.()
    stop = null
    untold = null
  }
  return {
    end,
    down(cut) {
      end()
      untold = cut
      const mine = clock.every(TELL_MS, () => {
        void diagnose().then((fault) => fault !== null && stop === mine && tell(fault))
      })
      stop = mine
      // a credential that has ended says it all; else the next try tells more than the break
      if (cut.code === 'PERMISSION') flush(cut)
      else void diagnose().then((fault) => stop === mine && flush(fault ?? cut))
    },
    up() {
      if (untold !== null) flush(untold)
      end()
    },
  }
}
