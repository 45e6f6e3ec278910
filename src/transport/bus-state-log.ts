/**
 * The state log over any Bus (state-log.ts is the contract): entries as msgpack in the fleet's STATE stream.
 * Owns the settling of appends that were refused or not answered; what entries mean is the coordinator's. All
 * reads are the leader's word: a copy that is behind would say that an append did not land.
 */
import { encode } from '../protocol/codec.ts'
import { Fault, isFault } from '../protocol/faults.ts'
import type { StateEntry } from '../protocol/records.ts'
import { subjectOf } from '../protocol/subjects.ts'
import { HEADERS, MSGPACK, streamOf } from '../protocol/table.ts'
import { systemClock, type Clock } from '../system/clock.ts'
import type { Bus, Message } from './bus.ts'
import { decodeEntry, missingIn, startOfLastSnapshot } from './state-entries.ts'
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
/**
 * Shorter than a lease: a writer that has not heard from the log for so long asks whether it is still the
 * same.
 */
const PROOF_MS = 1500
const RETRY_MS = 50
const LOOK_AGAIN_MS = 100
const LOOKS = 10
const ENTRY_HEADERS = { [HEADERS.contentType]: MSGPACK }

interface Log extends Required<StateLogSettings> {
  readonly bus: Bus
  readonly fleet: string
  readonly stream: string
  readonly subject: string
  /** Last sequence that was folded: an append expects to stand on it. */
  position: number
  /** The entry that stands there; null: none that is known. */
  standsOn: Identity | null
  /** When `standsOn` was last known for certain. */
  provenAt: number
  appending: boolean
  lost: string | null
  /** The bytes of the entry that was sent last. */
  sent: Uint8Array | null
  /** Of entries that were read or written here. */
  readonly sequences: WeakMap<StateEntry, number>
  readonly cleanups: Set<() => void>
}

export function openStateLog(
  bus: Bus,
  fleet: string,
  { clock = systemClock, appendTimeoutMs = 1000, settleMs = 2000, replicas = null }: StateLogSettings = {},
): StateLog {
  const l: Log = {
    bus,
    fleet,
    clock,
    appendTimeoutMs,
    settleMs,
    replicas,
    stream: streamOf(fleet, 'STATE'),
    subject: subjectOf(fleet, 'state', {}),
    position: 0,
    standsOn: null,
    provenAt: clock.now(),
    appending: false,
    lost: null,
    sent: null,
    sequences: new WeakMap(),
    cleanups: new Set(),
  }
  // the server may have been another meanwhile, with another store
  l.cleanups.add(bus.onLink((up) => void (up || (l.provenAt = -Infinity))))
  return {
    open: async () => setProven(l, await ensureStream(l), null),
    read: () => read(l),
    get lost() {
      return l.lost
    },
    async append(entry) {
      if (l.appending) throw new Error('two appends of the state log in flight')
      l.appending = true
      try {
        setProven(l, await appendSettled(l, entry), entry)
        l.sequences.set(entry, l.position)
      } finally {
        l.appending = false
      }
    },
    async purgeBefore(snapshotEntry) {
      const seq = l.sequences.get(snapshotEntry)
      if (seq === undefined) throw new Error('purgeBefore needs an entry that was read or appended here')
      await bus.purge(l.stream, { beforeSeq: seq })
    },
    onEntry: (listener) => onEntry(l, listener),
    lastEpoch: async () => (await readStateTail({ bus, fleet }, 'leader'))?.epoch ?? null,
    async close() {
      for (const end of l.cleanups) end()
    },
  }
}

/** @returns the last sequence of the stream */
async function ensureStream({ bus, fleet, replicas }: Log): Promise<number> {
  return (await bus.ensureStream(streamConfigOf(fleet, 'STATE', replicas))).lastSeq
}

function setProven(l: Log, position: number, entry: StateEntry | null): void {
  Object.assign(l, { position, standsOn: entry, provenAt: l.clock.now() })
}

function entryOf(l: Log, message: Message & { seq: number }): StateEntry {
  const entry = decodeEntry(l.stream, message)
  l.sequences.set(entry, message.seq)
  return entry
}

async function read(l: Log): Promise<StateEntry[]> {
  let entries = await readFrom(l, 1)
  if (entries.length === 0) {
    // The sequence of an empty log is read before the look that finds it empty. An entry that was written in
    // between must be folded, and not stood upon.
    setProven(l, await ensureStream(l), null)
    entries = await readFrom(l, 1)
  }
  const last = entries.at(-1)
  if (last !== undefined) setProven(l, l.sequences.get(last)!, last)
  l.lost = missingIn(entries, (entry) => l.sequences.get(entry)!)
  return entries.slice(startOfLastSnapshot(entries))
}

async function readFrom(l: Log, seq: number): Promise<StateEntry[]> {
  const { bus, stream, subject } = l
  const entries: StateEntry[] = []
  const tail = await bus.getLast(stream, subject, 'leader')
  for (let next = seq; tail !== null && next <= tail.seq;) {
    const count = Math.min(PAGE, tail.seq - next + 1)
    const page = await bus.getMessages(stream, { seq: next, subject, count, from: 'leader' })
    if (page.length === 0) break
    entries.push(...page.map((message) => entryOf(l, message)))
    next = page.at(-1)!.seq + 1
  }
  return entries
}

/**
 * A sequence fences within one store only: in a store that was lost and made anew another's entry may have
 * the very number that this writer stands on. A writer that was frozen or cut off meanwhile looks before it
 * writes.
 */
async function checkStore(l: Log, entry: StateEntry): Promise<void> {
  if (l.standsOn === null || l.clock.now() - l.provenAt < PROOF_MS) return
  const tail = await l.bus.getLast(l.stream, l.subject, 'leader')
  const last = tail === null ? null : entryOf(l, tail)
  const same = tail?.seq === l.position && last !== null && isSame(last, l.standsOn)
  // an earlier try of this very entry landed, and its answer was lost: the append will find it
  if (!same && !(last !== null && isSame(last, entry)))
    throw new Fault('NOT_LEADER', 'the state log went on without this writer, or was made anew', {
      data: { expected: l.position, found: tail?.seq ?? 0 },
    })
  l.provenAt = l.clock.now()
}

/** One append, tried until it is known to stand, known to have lost, or out of time. @returns its sequence */
async function appendSettled(l: Log, entry: StateEntry): Promise<number> {
  const { bus, subject, clock, settleMs, appendTimeoutMs: timeoutMs } = l
  await checkStore(l, entry)
  const body = encode(entry, 'msgpack')
  l.sent = body
  // The position is fixed: a reader may move it while this append still waits, and an entry of a deposed
  // leader must not follow it there.
  const base = l.position
  const giveUpAt = clock.now() + settleMs
  for (;;) {
    let refusal: string
    try {
      return (await bus.append(subject, body, { headers: ENTRY_HEADERS, expectedLastSeq: base, timeoutMs }))
        .seq
    } catch (error) {
      if (!isUnsettled(error)) throw error
      refusal = error.message
    }
    const landedAt = await findLanded(l, entry, base)
    if (landedAt !== null) return landedAt
    // Nobody wrote, yet the first try may still be on its way. The entry is said again: the server takes only
    // one of the two.
    if (clock.now() >= giveUpAt)
      throw new Fault(
        'CONN',
        `the state log did not take an entry within ${settleMs} ms (${refusal}); whether it will is not known`,
      )
    await new Promise<void>((resolve) => clock.after(RETRY_MS, resolve))
  }
}

/**
 * An append was refused or not answered: only the tail tells. A first try that landed makes its own
 * repetition be refused.
 *
 * @returns the sequence of the entry; null: it is not there, or the tail cannot be read
 * @throws {Fault} NOT_LEADER when somebody else wrote; PERMISSION
 */
async function findLanded(l: Log, entry: StateEntry, base: number): Promise<number | null> {
  const tail = await l.bus.getLast(l.stream, l.subject, 'leader').catch((error: unknown) => {
    if (isFault(error, 'PERMISSION')) throw error
    return 'unreadable' as const
  })
  if (tail === 'unreadable') return null
  if (tail !== null && isSame(entryOf(l, tail), entry)) return tail.seq
  const found = tail?.seq ?? 0
  if (found === base) return null
  const text = found < base ? 'the state log was made anew' : 'somebody else wrote the state log'
  throw new Fault('NOT_LEADER', text, { data: { expected: base, found } })
}

/**
 * A live message proves nothing: one that the stream refused is delivered too. It only says when to look. On
 * a replicated stream it comes before the entry is stored, so it is looked for again.
 *
 * @returns ends it
 */
function onEntry(l: Log, listener: (entry: StateEntry) => void): () => void {
  let told: number | null = null
  let looking = false
  let again = false
  let ended = false
  /** The last entry that was heard and not found yet, and how often it is looked for. */
  let heard: Identity | null = null
  let looksLeft = 0
  const lookOn = async (): Promise<void> => {
    again = false
    told ??= l.position
    for (const entry of await readFrom(l, told + 1)) {
      if (ended) return
      told = l.sequences.get(entry)!
      if (heard !== null && isSame(entry, heard)) heard = null
      listener(entry)
    }
  }
  const look = async (): Promise<void> => {
    if (looking) return void (again = true)
    looking = true
    try {
      do await lookOn()
      while (again)
    } catch {
      // the link is down or the store is gone: nothing was seen, and a standby's clock goes on
    } finally {
      looking = false
    }
    if (heard !== null && looksLeft-- > 0 && !ended) l.clock.after(LOOK_AGAIN_MS, () => void look())
  }
  const subscription = l.bus.subscribe(l.subject, (message) => {
    // a leader hears itself: to read back all that it writes would cost it as much as writing
    if (l.sent !== null && Buffer.compare(message.body, l.sent) === 0) return
    heard = identityOf(l, message)
    looksLeft = LOOKS
    void look()
  })
  const end = (): void => {
    ended = true
    subscription.unsubscribe()
    l.cleanups.delete(end)
  }
  l.cleanups.add(end)
  return end
}

function identityOf(l: Log, message: Message): Identity | null {
  try {
    return decodeEntry(l.stream, { ...message, seq: 0 })
  } catch {
    return null
  }
}

type Identity = Pick<StateEntry, 'writer' | 'number'>
function isSame(a: Identity, b: Identity): boolean {
  return a.writer === b.writer && a.number === b.number
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
