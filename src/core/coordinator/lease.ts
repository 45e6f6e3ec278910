/**
 * Whose turn it is to lead, judged by somebody who stands by: pure, from what it saw of the state log and
 * when.
 *
 * It takes over when it has seen no new entry for lease + margin, with an entry at the tail that it folded.
 * It need not wait when the last writer resigned or is itself (nobody else can have acted since), or when it
 * never saw anything but an empty log. A log that became empty had a leader, who may act until its lease
 * ends.
 */
import type { StateEntry } from '../../protocol/records.ts'

export type Tail = Pick<StateEntry, 'kind' | 'writer' | 'number'>

export interface LogView {
  /** incarnation of who judges */
  readonly self: string
  /** lease and margin, ms */
  readonly silenceMs: number
  /** the log was read, and the view follows it since. fresh: and nothing was waited for since */
  read: 'no' | 'before' | 'fresh'
  tail: Tail | null
  /** the log had entries, and has none */
  emptied: boolean
  /** the newest entry that was heard since says that its writer has stopped acting */
  resigned: boolean
  /** monotonic time of the last sign of life */
  seenAt: number
}

export function whoLeads(view: LogView, now: number): 'wait' | 'read' | 'take' {
  const isSilent = now - view.seenAt >= view.silenceMs
  if (view.read === 'fresh') return isFree(view) || isSilent ? 'take' : 'wait'
  const hadLeader = view.tail !== null || view.emptied
  return view.read === 'before' && hadLeader && !isSilent && !view.resigned ? 'wait' : 'read'
}

function isFree({ tail, emptied, self }: LogView): boolean {
  return tail === null ? !emptied : tail.kind === 'resign' || tail.writer === self
}

/** What the log was read to end with. An entry that nobody told us of is a sign of life all the same. */
export function readTail(view: LogView, last: Tail | null, now: number): void {
  const moved = last !== null && (last.writer !== view.tail?.writer || last.number !== view.tail.number)
  const vanished = last === null && view.tail !== null
  if (moved || vanished) view.seenAt = now
  view.emptied = last === null && (view.emptied || vanished)
  view.tail = last
  view.resigned = false
  view.read = 'fresh'
}
