/**
 * The state log contract: one JetStream stream per fleet, written by the leader alone. Implementations: over
 * any Bus in bus-state-log.ts, so the in-memory bus gives the simulator's. Entries are `StateEntry` of
 * protocol/records.ts.
 *
 * 1. `append` is compare-and-set on the last sequence that was folded, with ONE append in flight (the
 * caller's duty; asserted).
 * 2. An append that is refused or unanswered is settled by reading the tail: if the last entry is ours
 * (writer and number) it landed. Otherwise `append` rejects with NOT_LEADER when somebody else wrote, and
 * with CONN when the tail could not be read in time. An entry that is larger than the server takes is refused
 * with the bus's fault (payload.ts), before it is sent.
 * 3. `read` yields every live entry from the last complete snapshot on, in order, and leaves the log
 * positioned at the tail.
 * 4. `onEntry` tells that an entry was written by somebody else, for the standby's clock. An entry that was
 * appended here may be told too.
 */
import type { StateEntry } from '../protocol/records.ts'

export interface StateLog {
  /** Make the stream when it is not there. The writer of the first entry makes the storeId. */
  open(): Promise<void>
  read(): Promise<StateEntry[]>
  /** The loss that the last `read` proves, in words; null: the log looks whole. */
  readonly lost: string | null
  append(entry: StateEntry): Promise<void>
  /** Delete the entries that a complete snapshot replaced. */
  purgeBefore(snapshotEntry: StateEntry): Promise<void>
  onEntry(listener: (entry: StateEntry) => void): () => void
  /** The last entry's epoch; null: the stream is empty. An agent reads it before it subscribes. */
  lastEpoch(): Promise<StateEntry['epoch'] | null>
  close(): Promise<void>
}
