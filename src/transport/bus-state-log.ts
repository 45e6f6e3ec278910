/**
 * The state log over any Bus (state-log.ts is the contract): entries as msgpack in the fleet's STATE stream.
 * Owns the settling of appends that were refused or not answered; what entries mean is the coordinator's.
 */
import { decode, encode } from '../protocol/codec.ts'
import { Fault, isFault } from '../protocol/faults.ts'
import { STATE_FORMAT, StateEntry } from '../protocol/records.ts'
import { subjectOf } from '../protocol/subjects.ts'
import { HEADERS, MSGPACK, streamOf } from '../protocol/table.ts'
import { systemClock, type Clock } from '../system/clock.ts'
import type { Bus, Message } from './bus.ts'
import type { StateLog } from './state-log.ts'
import { readStateTail } from './state-tail.ts'
import { streamConfigOf } from './streams.ts'

export interface StateLogSettings {
  clock?: Clock
  /** how long one append is waited for before the tail is read, ms */
  appendTimeoutMs?: number
  /** from the first try of an append until it is given up as CONN, ms */
  settleMs?: number
  /** servers that keep a copy of the log; null: as it is, or 1 */
  replicas?: number | null
}

const PAGE = 64
/** Shorter than a lease: who has not heard from the log for so long asks whether it is still the same one. */
const PROOF_MS = 1500
const RETRY_MS = 50

export function openStateLog(
  bus: Bus,
  fleet: string,
  { clock = systemClock, appendTimeoutMs = 1000, settleMs = 2000, replicas = null }: StateLogSettings = {},
): StateLog {
  const stream = streamOf(fleet, 'STATE')
  const subject = subjectOf(fleet, 'state', {})
  const headers = { [HEADERS.contentType]: MSGPACK }
  /** last sequence that was folded: what an append expects to stand on */
  let position = 0
  /** the entry that stands there, and when that was last known for certain */
  let standsOn: Identity | null = null
  let provenAt = clock.now()
  let appending = false
  let lost: string | null = null
  /** the bytes of the entry that was sent last */
  let sent: Uint8Array | null = null
  const sequences = new WeakMap<StateEntry, number>()
  const cleanups = new Set<() => void>()
  // the server may have been another meanwhile, with another store
  cleanups.add(bus.onLink((up) => void (up || (provenAt = -Infinity))))

  const entryOf = (message: Message & { seq: number }): StateEntry => {
    const value = decode(message.body, message.headers[HEADERS.contentType])
    checkFormat(stream, value)
    const parsed = StateEntry.safeParse(value)
    if (!parsed.success)
      throw new Fault(
        'FAILED',
        `entry ${message.seq} of ${stream} is not one that this version can read: ${parsed.error.issues[0]?.message}`,
      )
    sequences.set(parsed.data, message.seq)
    return parsed.data
  }
  const readFrom = async (seq: number): Promise<StateEntry[]> => {
    const entries: StateEntry[] = []
    const tail = await bus.getLast(stream, subject)
    for (let next = seq; tail !== null && next <= tail.seq;) {
      const page = await bus.getMessages(stream, { seq: next, subject, count: PAGE })
      if (page.length === 0) break
      entries.push(...page.map(entryOf))
      next = page.at(-1)!.seq + 1
    }
    return entries
  }
  const pause = (ms: number): Promise<void> => new Promise((resolve) => clock.after(ms, resolve))

  const proven = (at: number, entry: StateEntry | null): void => {
    position = at
    standsOn = entry
    provenAt = clock.now()
  }
  /**
   * A sequence fences within one store only: in a store that was lost and made anew another's entry may have
   * the very number that this writer stands on. Who was frozen or cut off meanwhile looks before it writes.
   */
  const checkStore = async (entry: StateEntry): Promise<void> => {
    if (standsOn === null || clock.now() - provenAt < PROOF_MS) return
    const tail = await bus.getLast(stream, subject)
    const last = tail === null ? null : entryOf(tail)
    const same = tail?.seq === position && last !== null && isSame(last, standsOn)
    // an earlier try of this very entry landed, and its answer was lost: the append will find it
    if (!same && !(last !== null && isSame(last, entry)))
      throw new Fault('NOT_LEADER', 'the state log went on without this writer, or was made anew', {
        data: { expected: position, found: tail?.seq ?? 0 },
      })
    provenAt = clock.now()
  }

  /** One append, tried until it is known to stand, known to have lost, or out of time. */
  const appendSettled = async (entry: StateEntry): Promise<number> => {
    await checkStore(entry)
    const body = encode(entry, 'msgpack')
    sent = body
    // fixed: a reader may move `position` while this one still waits, and an entry of a deposed leader must
    // not follow it there
    const base = position
    const giveUpAt = clock.now() + settleMs
    let refusal = ''
    for (;;) {
      try {
        return (
          await bus.append(subject, body, { headers, expectedLastSeq: base, timeoutMs: appendTimeoutMs })
        ).seq
      } catch (error) {
        if (!isUnsettled(error)) throw error
        refusal = error.message
      }
      // Refused or unanswered: only the tail tells. A first try that landed makes its own repetition be
      // refused.
      const tail = await bus.getLast(stream, subject).catch((error: unknown) => {
        if (isFault(error, 'PERMISSION')) throw error
        return 'unreadable' as const
      })
      if (tail !== 'unreadable' && tail !== null) {
        const last = entryOf(tail)
        if (isSame(last, entry)) return tail.seq
      }
      if (tail !== 'unreadable' && (tail?.seq ?? 0) !== base)
        throw new Fault(
          'NOT_LEADER',
          tail === null || tail.seq < base
            ? 'the state log was made anew'
            : 'somebody else wrote the state log',
          { data: { expected: base, found: tail?.seq ?? 0 } },
        )
      // Nobody wrote, yet the first try may still be on its way: say it again; the server takes only one of
      // the two.
      if (clock.now() >= giveUpAt)
        throw new Fault(
          'CONN',
          `the state log did not take an entry within ${settleMs} ms (${refusal}); whether it will is not known`,
        )
      await pause(RETRY_MS)
    }
  }

  return {
    async open() {
      const { lastSeq } = await bus.ensureStream(streamConfigOf(fleet, 'STATE', replicas))
      proven(lastSeq, null)
    },
    async read() {
      let entries = await readFrom(1)
      if (entries.length === 0) {
        // the sequence of an empty log first, then the look that finds it empty: one who wrote in between
        // must be folded, not stood upon
        proven((await bus.ensureStream(streamConfigOf(fleet, 'STATE', replicas))).lastSeq, null)
        entries = await readFrom(1)
      }
      const last = entries.at(-1)
      if (last !== undefined) proven(sequences.get(last)!, last)
      lost = missingIn(entries, (entry) => sequences.get(entry)!)
      return entries.slice(startOfLastSnapshot(entries))
    },
    get lost() {
      return lost
    },
    async append(entry) {
      if (appending) throw new Error('two appends of the state log in flight')
      appending = true
      try {
        proven(await appendSettled(entry), entry)
        sequences.set(entry, position)
      } finally {
        appending = false
      }
    },
    async purgeBefore(snapshotEntry) {
      const seq = sequences.get(snapshotEntry)
      if (seq === undefined) throw new Error('purgeBefore needs an entry that was read or appended here')
      await bus.purge(stream, { beforeSeq: seq })
    },
    onEntry(listener) {
      // A live message proves nothing: one that the stream refused is delivered too. It only says when to
      // look.
      let told: number | null = null
      let looking = false
      let again = false
      let ended = false
      const look = async (): Promise<void> => {
        if (looking) return void (again = true)
        looking = true
        try {
          do {
            again = false
            told ??= position
            for (const entry of await readFrom(told + 1)) {
              if (ended) return
              told = sequences.get(entry)!
              listener(entry)
            }
          } while (again)
        } catch {
          // the link is down or the store is gone: nothing was seen, and that is what a standby's clock is
          // for
        } finally {
          looking = false
        }
      }
      const subscription = bus.subscribe(subject, (message) => {
        // a leader hears itself: to read back all that it writes would cost it as much as writing
        if (sent === null || Buffer.compare(message.body, sent) !== 0) void look()
      })
      const end = (): void => {
        ended = true
        subscription.unsubscribe()
        cleanups.delete(end)
      }
      cleanups.add(end)
      return end
    },
    async lastEpoch() {
      return (await readStateTail({ bus, fleet }))?.epoch ?? null
    },
    async close() {
      for (const end of cleanups) end()
    },
  }
}

type Identity = Pick<StateEntry, 'writer' | 'number'>
function isSame(a: Identity, b: Identity): boolean {
  return a.writer === b.writer && a.number === b.number
}

/**
 * Another version wrote it: to lead over what one cannot read would lose it.
 *
 * @throws {Fault} FAILED
 */
function checkFormat(stream: string, value: unknown): void {
  const { format } = value as { format?: unknown }
  if (format === STATE_FORMAT) return
  const found = typeof format === 'number' ? String(format) : 'none'
  throw new Fault('FAILED', `${stream} is in format ${found}; this version reads format ${STATE_FORMAT}`, {
    data: { reason: 'state-format', found, expected: STATE_FORMAT },
    hint: `start the version of Troupe that wrote it; where nothing of it is needed, delete the stream ${stream}`,
  })
}

/**
 * What a log that was only written and purged by leaders cannot look like. A tail that was cut off leaves no
 * trace here: what others remember of it is compared by the coordinator.
 */
function missingIn(entries: readonly StateEntry[], seqOf: (entry: StateEntry) => number): string | null {
  const [first] = entries
  if (first === undefined) return null
  const gap = entries.findIndex((entry, i) => i > 0 && seqOf(entry) !== seqOf(entries[i - 1]!) + 1)
  if (gap > 0)
    return `entries ${seqOf(entries[gap - 1]!) + 1} to ${seqOf(entries[gap]!) - 1} of the state log are missing`
  const begins = seqOf(first) === 1 || (first.kind === 'snapshot' && first.part?.[0] === 1)
  return begins ? null : `the state log begins at entry ${seqOf(first)}, which is no snapshot`
}

/** `FAILED`: the server's own words, such as that its disk is full; whether it will be is not known. */
function isUnsettled(error: unknown): error is Fault {
  return (
    isFault(error, 'TIMEOUT') ||
    isFault(error, 'CONN') ||
    isFault(error, 'FAILED') ||
    (isFault(error, 'EXISTS') && error.data['reason'] === 'wrong-last-sequence')
  )
}

/** Index of part 1 of the last snapshot that has all its parts; 0 when there is none. */
function startOfLastSnapshot(entries: readonly StateEntry[]): number {
  let complete = 0
  let start = 0
  let expected = 1
  entries.forEach((entry, index) => {
    if (entry.kind !== 'snapshot') return
    const [part, of] = entry.part ?? [1, 1]
    const follows = part === expected && (part === 1 || entries[start]!.writer === entry.writer)
    if (part === 1) start = index
    else if (!follows) return void (expected = 1)
    expected = part + 1
    if (part === of) {
      complete = start
      expected = 1
    }
  })
  return complete
}
