/**
 * One term of a leader: the lease, the one append in flight, renewals and snapshots. What is written is the
 * coordinator's; how a term begins is leadership.ts.
 *
 * 1. A leader acts until (the time it sent its last acknowledged entry) + lease, on its own monotonic clock.
 * Not the time of the acknowledgement: a standby counts from when it saw the entry, which may be earlier than
 * that.
 * 2. An append that may have landed is settled by the log (state-log.ts). Refused: deposed. Unsettled: the
 * same entry is tried again, and meanwhile the lease runs out by itself; after some leases of that the leader
 * stands down, and takes over again if the last entry is still its own.
 * 3. An op that is too large for the log was never sent: it is given back to its writer, and nobody is
 * deposed.
 */
import { cutOps, nextSlice } from '../../core/coordinator/entries.ts'
import { foldOp, opsOf, type Durable } from '../../core/coordinator/fold.ts'
import { isFault, type Fault } from '../../protocol/faults.ts'
import type { StateEntry, StateOp } from '../../protocol/records.ts'
import type { Epoch } from '../../protocol/shapes.ts'
import type { Clock } from '../../system/clock.ts'
import { isTooLarge } from '../../transport/payload.ts'
import type { StateLog } from '../../transport/state-log.ts'

export interface Refused {
  op: StateOp
  fault: Fault
}

export interface LeaderTerm {
  readonly epoch: Epoch
  /** The folded log at takeover; it is the term's own copy and follows each write. */
  readonly durable: Durable
  /** the log proves that entries are missing, and how; null: it looks whole */
  readonly lost: string | null
  /**
   * resolves when all of it is acknowledged, with what can never be written; rejects when this one may write
   * no more
   */
  persist(ops: StateOp[]): Promise<Refused[]>
  /** may it act now? */
  leased(): boolean
  /**
   * the link to the log broke: it may not act until an entry is acknowledged again, which is tried at once
   */
  suspendLease(): void
}

export interface LiveTerm extends LeaderTerm {
  depose(error: unknown): void
  /** says so in the log, so that a standby need not wait */
  resign(): Promise<void>
  readonly ended: Promise<void>
}

export interface TermSettings {
  leaseMs: number
  renewMs: number
  snapshotEntries: number
}

export interface TermOptions {
  stateLog: StateLog
  clock: Clock
  settings: TermSettings
  log(fields: Record<string, unknown>): void
  epoch: Epoch
  durable: Durable
  lost: string | null
  /** entries in the log */
  entries: number
  /** when the entry was sent that began this term */
  takenAt: number
  entryOf(kind: StateEntry['kind'], ops: StateOp[], part: StateEntry['part']): StateEntry
  /** it may act again, after its lease had run out */
  onLeaseBack(): void
  onDeposed(error: unknown): void
}

const RETRY_MS = 200
/**
 * Leases without a settled entry after which a leader stands down by itself: its store may be gone, and only
 * a fold finds out.
 */
const UNSETTLED_LEASES = 3
/** How long a resigning leader tries to say so. */
export const RESIGN_MS = 1000

interface Term extends TermOptions {
  ackedSentAt: number
  lastSentAt: number
  lapsed: boolean
  over: boolean
  snapshotting: boolean
  /** number of entries at which a snapshot is due */
  snapshotAt: number
  /** the write before, done or not */
  writing: Promise<void>
  stop(): void
}

export function startTerm(options: TermOptions): LiveTerm {
  const { clock, settings, takenAt, epoch, durable, lost } = options
  let end: () => void
  const ended = new Promise<void>((resolve) => (end = resolve))
  const t: Term = {
    ...options,
    ackedSentAt: takenAt,
    lastSentAt: takenAt,
    lapsed: false,
    over: false,
    snapshotting: false,
    snapshotAt: settings.snapshotEntries,
    writing: Promise.resolve(),
    stop() {
      t.over = true
      stopRenewing()
      end()
    },
  }
  let renewing = false
  const stopRenewing = clock.every(Math.max(1, settings.renewMs / 4), () => {
    if (t.over || renewing || clock.now() - t.lastSentAt < settings.renewMs * 0.9) return
    renewing = true
    queued(t, () => renew(t)).then(
      () => void (renewing = false),
      () => void (renewing = false),
    )
  })
  return {
    epoch,
    durable,
    lost,
    ended,
    persist: (ops) => queued(t, () => persist(t, ops)),
    leased: () => leased(t),
    suspendLease: () => void (t.ackedSentAt = t.lastSentAt = -Infinity),
    depose: (error) => depose(t, error),
    async resign() {
      if (t.over) return
      stopRenewing()
      const said = queued(t, () => write(t, 'resign', []))
      await Promise.race([
        said.catch(() => {}),
        new Promise<void>((resolve) => clock.after(RESIGN_MS, resolve)),
      ])
      t.stop()
    },
  }
}

function depose(t: Term, error: unknown): void {
  if (t.over) return
  t.stop()
  t.log({ level: 'warn', msg: 'deposed', epoch: t.epoch.n, error: String(error) })
  t.onDeposed(error)
}

function leased(t: Term): boolean {
  const holds = !t.over && t.clock.now() < t.ackedSentAt + t.settings.leaseMs
  if (!holds) t.lapsed = true
  return holds
}

/** One after the other: never two appends in flight. */
function queued<T>(t: Term, work: () => Promise<T>): Promise<T> {
  const done = t.writing.then(work)
  t.writing = done.then(
    () => {},
    () => {},
  )
  return done
}

/**
 * One entry, until it stands or somebody else wrote. Callers go through `queued`.
 *
 * @throws {Fault} too large: it was not sent
 */
async function write(
  t: Term,
  kind: StateEntry['kind'],
  ops: StateOp[],
  part: StateEntry['part'] = null,
): Promise<StateEntry> {
  const entry = t.entryOf(kind, ops, part)
  // of its first try: that may be the one that landed, and a standby counts from when it did
  const sentAt = t.clock.now()
  const before = t.lastSentAt
  t.lastSentAt = sentAt
  for (;;) {
    if (t.over) throw new Error('deposed')
    try {
      await t.stateLog.append(entry)
      t.ackedSentAt = sentAt
      break
    } catch (error) {
      if (isTooLarge(error)) {
        t.lastSentAt = before
        throw error
      }
      if (!mayTryAgain(t, error, entry, sentAt)) {
        depose(t, error)
        throw error
      }
      await new Promise<void>((resolve) => t.clock.after(RETRY_MS, resolve))
    }
  }
  // a snapshot says nothing new
  if (kind === 'change') for (const op of ops) foldOp(t.durable, op)
  t.entries++
  if (t.lapsed && leased(t)) {
    t.lapsed = false
    t.onLeaseBack()
  }
  return entry
}

function mayTryAgain(t: Term, error: unknown, { number }: StateEntry, sentAt: number): boolean {
  if (!isFault(error, 'CONN') && !isFault(error, 'TIMEOUT')) return false
  t.log({ level: 'warn', msg: 'the state log does not take an entry', number, error: String(error) })
  return t.clock.now() - sentAt < UNSETTLED_LEASES * t.settings.leaseMs
}

async function persist(t: Term, ops: StateOp[]): Promise<Refused[]> {
  const refused: Refused[] = []
  for (const piece of cutOps(ops)) refused.push(...(await writeOrRefuse(t, piece)))
  snapshotWhenDue(t)
  return refused
}

/** A server that takes less than an entry may be gets smaller ones, down to a single op. */
async function writeOrRefuse(t: Term, ops: StateOp[]): Promise<Refused[]> {
  try {
    await write(t, 'change', ops)
    return []
  } catch (fault) {
    if (!isTooLarge(fault)) throw fault
    const [op] = ops
    if (ops.length < 2) return op === undefined ? [] : [{ op, fault }]
    const half = Math.ceil(ops.length / 2)
    return [...(await writeOrRefuse(t, ops.slice(0, half))), ...(await writeOrRefuse(t, ops.slice(half)))]
  }
}

async function renew(t: Term): Promise<void> {
  await write(t, 'renew', [])
  snapshotWhenDue(t)
}

function snapshotWhenDue(t: Term): void {
  if (t.entries < t.snapshotAt || t.snapshotting) return
  t.snapshotting = true
  snapshot(t)
    .catch((error: unknown) => {
      if (!t.over) t.log({ level: 'error', msg: 'a snapshot was not written', error: String(error) })
    })
    .finally(() => {
      t.snapshotting = false
      t.snapshotAt = t.entries + t.settings.snapshotEntries
    })
}

/**
 * All of the state again, in slices between which changes are written, then the log before it is dropped. A
 * slice is made when it is written: a change in between is older than the slices behind it.
 */
async function snapshot(t: Term): Promise<void> {
  const ops = opsOf(t.durable)
  let first: StateEntry | null = null
  let parts = 0
  let before = 0
  const writeSlice = async (): Promise<boolean> => {
    const slice = nextSlice(ops)
    const cut = cutOps(slice.ops)
    for (const [i, piece] of cut.entries()) {
      if (first === null) before = t.entries
      const isLast = slice.done && i === cut.length - 1
      parts++
      const entry = await write(t, 'snapshot', piece, [parts, isLast ? parts : 0])
      first ??= entry
    }
    return slice.done
  }
  while (!(await queued(t, writeSlice)));
  await t.stateLog
    .purgeBefore(first!)
    .catch((error: unknown) =>
      t.log({ level: 'warn', msg: 'what a snapshot replaced was not purged', error: String(error) }),
    )
  t.entries -= before
}
