/**
 * Who leads a fleet: one writer of the STATE log at a time. Owns the lease, the one append in flight,
 * renewals, snapshots and the wait of a standby; what is written is the coordinator's.
 *
 * 1. A leader acts until (the time it sent its last acknowledged entry) + lease, on its own monotonic clock.
 * Not the time of the acknowledgement: a
 *    standby counts from when it saw the entry, which may be earlier than that.
 * 2. A standby takes over when it has seen no new entry for lease + margin, with an entry at the tail that it
 * folded. It need not wait when its last writer
 *    resigned, or when it never saw anything but an empty log: one that became empty had a leader, who may act until its lease ends.
 * 3. An append that may have landed is settled by the log (state-log.ts). Refused: deposed. Unsettled: the
 * same entry is tried again, and meanwhile the
 *    lease runs out by itself; after some leases of that the leader stands down, and takes over again if the last entry is still its own.
 */
import { isFault } from '../protocol/faults.ts'
import { ENTRY_BYTES_MAX, type StateEntry, type StateOp } from '../protocol/records.ts'
import type { Epoch } from '../protocol/shapes.ts'
import { foldEntries, foldOp, opsOf, type Durable } from '../core/coordinator/fold.ts'
import type { Clock } from '../system/clock.ts'
import type { StateLog } from '../transport/state-log.ts'

export interface Tenure {
  readonly epoch: Epoch
  /** what the log says at takeover; the tenure's own copy follows what is written */
  readonly durable: Durable
  /** resolves when all of it is acknowledged; rejects when this one may write no more */
  persist(ops: StateOp[]): Promise<void>
  /** may it act now? */
  leased(): boolean
  /**
   * the link to the log broke: it may not act until an entry is acknowledged again, which is tried at once
   */
  doubt(): void
}

export interface LeadershipOptions {
  stateLog: StateLog
  incarnation: string
  clock: Clock
  settings: { leaseMs: number; renewMs: number; takeoverMarginMs: number; snapshotEntries: number }
  log(fields: Record<string, unknown>): void
  onLead(tenure: Tenure): void
  /** it may act again, after its lease had run out */
  onLeaseBack(): void
  onDeposed(error: unknown): void
}

export interface Leadership {
  /** stand down: says so in the log when it leads, so that a standby need not wait */
  resign(): Promise<void>
}

const RETRY_MS = 200
/**
 * Leases without a settled entry after which a leader stands down by itself: its store may be gone, and only
 * a fold finds out.
 */
const UNSETTLED_LEASES = 3
/** How long a resigning leader tries to say so. */
const RESIGN_MS = 1000

export function runLeadership(options: LeadershipOptions): Leadership {
  const { stateLog, incarnation, clock, settings, log, onLead, onLeaseBack, onDeposed } = options
  let stopped = false
  let number = 0
  let stores = 0
  /** monotonic time at which somebody's entry was seen last */
  let seenAt = clock.now()
  let tenure: LiveTenure | null = null

  const pause = (ms: number): Promise<void> => new Promise((resolve) => clock.after(ms, resolve))

  const entryOf = (
    epoch: Epoch,
    kind: StateEntry['kind'],
    ops: StateOp[],
    part: StateEntry['part'] = null,
  ): StateEntry => ({
    epoch,
    writer: incarnation,
    number: ++number,
    at: Math.round(clock.wall()),
    kind,
    part,
    ops,
  })

  const stand = async (): Promise<void> => {
    while (!stopped) {
      try {
        await stateLog.open()
        break
      } catch (error) {
        log({ level: 'warn', msg: 'the state log cannot be opened yet', error: String(error) })
        await pause(RETRY_MS)
      }
    }
    let unsubscribe = (): void => {}
    /** the tail as it was folded last */
    let tail: StateEntry | null = null
    let read = false
    let resigned = false
    /** the log had entries, and has none */
    let emptied = false
    if (!stopped) {
      seenAt = clock.now()
      unsubscribe = stateLog.onEntry((entry) => {
        seenAt = clock.now()
        tail = entry
        resigned = entry.kind === 'resign'
        const mine = tenure
        if (mine !== null && entry.writer !== incarnation && entry.epoch.n > mine.epoch.n)
          mine.depose(new Error(`epoch ${entry.epoch.n} of ${entry.writer} has begun`))
      })
    }
    while (!stopped) {
      if (tenure !== null) {
        await tenure.ended
        tenure = null
        read = false
        resigned = false
        seenAt = clock.now()
        continue
      }
      const isSilent = (): boolean => clock.now() - seenAt >= settings.leaseMs + settings.takeoverMarginMs
      if (read && !isSilent() && !resigned && (tail !== null || emptied)) {
        await pause(Math.min(100, settings.renewMs))
        continue
      }
      try {
        const entries = await stateLog.read()
        const last = entries.at(-1) ?? null
        const moved =
          last !== null && (tail === null || last.writer !== tail.writer || last.number !== tail.number)
        const vanished = last === null && tail !== null
        emptied = last === null && (emptied || vanished)
        // the last word is one's own: nobody else can have acted since
        const free = last === null ? !emptied : last.kind === 'resign' || last.writer === incarnation
        // an entry that nobody told us of is a sign of life all the same
        if (moved || vanished) seenAt = clock.now()
        resigned = false
        tail = last
        read = true
        // asked again: somebody's takeover may have been told while the log was read
        if (!free && (moved || vanished || !isSilent())) continue
        if (stopped) break
        // a store that is made twice by the same one is two stores
        const epoch =
          last === null
            ? { storeId: stores++ === 0 ? incarnation : `${incarnation}-${stores}`, n: 1 }
            : { storeId: last.epoch.storeId, n: last.epoch.n + 1 }
        const sentAt = clock.now()
        await stateLog.append(entryOf(epoch, 'takeover', []))
        if (stopped) break
        emptied = false
        tenure = lead(epoch, foldEntries(entries), entries.length, sentAt)
        log({ level: 'info', msg: 'leads', epoch: epoch.n, storeId: epoch.storeId, entries: entries.length })
        onLead(tenure)
      } catch (error) {
        if (isFault(error, 'NOT_LEADER')) seenAt = clock.now()
        else log({ level: 'warn', msg: 'takeover did not succeed', error: String(error) })
        read = false
        await pause(RETRY_MS)
        // a store that was lost is made again
        await stateLog.open().catch(() => {})
      }
    }
    unsubscribe()
  }

  interface LiveTenure extends Tenure {
    depose(error: unknown): void
    resign(): Promise<void>
    readonly ended: Promise<void>
  }

  const lead = (epoch: Epoch, durable: Durable, entriesBefore: number, takenAt: number): LiveTenure => {
    const mirror = durable
    let acknowledgedSentAt = takenAt
    let lastSentAt = takenAt
    let lapsed = false
    let over = false
    let entries = entriesBefore
    let writing: Promise<void> = Promise.resolve()
    let end: () => void
    const ended = new Promise<void>((resolve) => (end = resolve))

    const depose = (error: unknown): void => {
      if (over) return
      over = true
      stopRenewing()
      log({ level: 'warn', msg: 'deposed', epoch: epoch.n, error: String(error) })
      onDeposed(error)
      end()
    }

    /**
     * One entry, until it stands or somebody else wrote. Never more than one in flight: callers go through
     * `writing`.
     */
    const write = async (entry: StateEntry): Promise<void> => {
      // of its first try: that may be the one that landed, and a standby counts from when it did
      const sentAt = clock.now()
      lastSentAt = sentAt
      for (;;) {
        if (over) throw new Error('deposed')
        try {
          await stateLog.append(entry)
          acknowledgedSentAt = sentAt
          break
        } catch (error) {
          if (isFault(error, 'CONN') || isFault(error, 'TIMEOUT')) {
            log({
              level: 'warn',
              msg: 'the state log does not take an entry',
              number: entry.number,
              error: String(error),
            })
            if (clock.now() - sentAt < UNSETTLED_LEASES * settings.leaseMs) {
              await pause(RETRY_MS)
              continue
            }
          }
          depose(error)
          throw error
        }
      }
      for (const op of entry.ops) foldOp(mirror, op)
      entries++
      if (lapsed && leased()) {
        lapsed = false
        onLeaseBack()
      }
    }

    const queued = (work: () => Promise<void>): Promise<void> => {
      const done = writing.then(work)
      writing = done.catch(() => {})
      return done
    }

    const leased = (): boolean => {
      const holds = !over && clock.now() < acknowledgedSentAt + settings.leaseMs
      if (!holds) lapsed = true
      return holds
    }

    const persist = (ops: StateOp[]): Promise<void> =>
      queued(async () => {
        for (const piece of pieces(ops)) await write(entryOf(epoch, 'change', piece))
        if (entries >= settings.snapshotEntries) await snapshot()
      })

    /** All of the state again, then the log before it is dropped. */
    const snapshot = async (): Promise<void> => {
      const parts = pieces(opsOf(mirror))
      let first: StateEntry | null = null
      for (const [i, ops] of parts.entries()) {
        const entry = entryOf(epoch, 'snapshot', ops, [i + 1, parts.length])
        first ??= entry
        await write(entry)
      }
      entries = parts.length
      await stateLog
        .purgeBefore(first!)
        .catch((error: unknown) =>
          log({ level: 'warn', msg: 'what a snapshot replaced was not purged', error: String(error) }),
        )
    }

    let renewing = false
    const stopRenewing = clock.every(Math.max(1, settings.renewMs / 4), () => {
      if (over || renewing || clock.now() - lastSentAt < settings.renewMs * 0.9) return
      renewing = true
      queued(async () => {
        await write(entryOf(epoch, 'renew', []))
        if (entries >= settings.snapshotEntries) await snapshot()
      }).then(
        () => void (renewing = false),
        () => void (renewing = false),
      )
    })

    return {
      epoch,
      durable,
      persist,
      leased,
      doubt() {
        acknowledgedSentAt = lastSentAt = -Infinity
      },
      depose,
      ended,
      async resign() {
        if (over) return
        stopRenewing()
        const said = queued(() => write(entryOf(epoch, 'resign', [])))
        await Promise.race([said.catch(() => {}), pause(RESIGN_MS)])
        over = true
        end()
      },
    }
  }

  const standing = stand()
  return {
    async resign() {
      stopped = true
      await tenure?.resign()
      await Promise.race([standing, pause(RESIGN_MS)])
    },
  }
}

/**
 * Ops in order, cut so that no entry is larger than the bound (by their JSON, which is longer than what is
 * sent).
 */
export function pieces(ops: readonly StateOp[], bytesMax = ENTRY_BYTES_MAX): StateOp[][] {
  const list: StateOp[][] = [[]]
  let bytes = 0
  for (const op of ops) {
    const size = JSON.stringify(op).length
    if (bytes + size > bytesMax && list.at(-1)!.length > 0) {
      list.push([])
      bytes = 0
    }
    list.at(-1)!.push(op)
    bytes += size
  }
  return list
}
