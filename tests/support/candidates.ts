/**
 * Who stands for leading a fleet, over a log in memory with appends that a test holds or loses, and with a
 * bound of what one entry may be.
 */
import type { LeaderTerm } from '../../src/actors/leadership/leader-term.ts'
import { runLeadership } from '../../src/actors/leadership/leadership.ts'
import { encode } from '../../src/protocol/codec.ts'
import { Fault } from '../../src/protocol/faults.ts'
import type { StateEntry, StateOp } from '../../src/protocol/records.ts'
import { tooLarge } from '../../src/transport/payload.ts'
import type { StateLog } from '../../src/transport/state-log.ts'
import type { ManualClock } from './manual-clock.ts'

export interface Shared {
  /** encoded bytes of the largest entry that the server takes */
  bytesMax: number
  entries: StateEntry[]
  listeners: Set<(entry: StateEntry) => void>
  purged: number
}

interface Handle {
  log: StateLog
  /**
   * appends that leave from here on: 'ok', 'hold' until released, 'lost' (CONN, not landed), 'landed' (CONN,
   * landed)
   */
  mode: 'ok' | 'hold' | 'lost' | 'landed'
  release(): void
}

function handleOn(shared: Shared): Handle {
  let position = 0
  const waiting: (() => void)[] = []
  const own = new Map<StateEntry, number>()
  const land = (entry: StateEntry): void => {
    const { length } = encode(entry, 'msgpack')
    if (length > shared.bytesMax) throw tooLarge('state', length, shared.bytesMax)
    const last = shared.entries.at(-1)
    if (last !== undefined && last.writer === entry.writer && last.number === entry.number) {
      position = shared.entries.length
      return
    }
    if (position !== shared.entries.length) throw new Fault('NOT_LEADER', 'somebody else wrote')
    shared.entries.push(entry)
    position = shared.entries.length
    own.set(entry, position)
    for (const listener of shared.listeners) listener(entry)
  }
  const handle: Handle = {
    mode: 'ok',
    release: () => {
      for (const go of waiting.splice(0)) go()
    },
    log: {
      lost: null,
      open: () => Promise.resolve(),
      read: () => {
        position = shared.entries.length
        return Promise.resolve([...shared.entries])
      },
      append: async (entry) => {
        const { mode } = handle
        if (mode === 'hold') await new Promise<void>((resolve) => waiting.push(resolve))
        if (mode === 'lost') throw new Fault('CONN', 'no answer')
        if (mode === 'landed') {
          const before = position
          land(entry)
          position = before
          throw new Fault('CONN', 'no answer')
        }
        land(entry)
      },
      purgeBefore: (entry) => {
        shared.purged = own.get(entry)! - 1
        return Promise.resolve()
      },
      onEntry: (listener) => {
        shared.listeners.add(listener)
        return () => void shared.listeners.delete(listener)
      },
      lastEpoch: () => Promise.resolve(shared.entries.at(-1)?.epoch ?? null),
      close: () => Promise.resolve(),
    },
  }
  return handle
}

const settings = { leaseMs: 2000, renewMs: 500, takeoverMarginMs: 500, snapshotEntries: 1000 }
export function newShared(): Shared {
  return { bytesMax: Infinity, entries: [], listeners: new Set(), purged: 0 }
}

export function candidate(
  shared: Shared,
  clock: ManualClock,
  name: string,
  more: Partial<typeof settings> = {},
) {
  const handle = handleOn(shared)
  const seen = {
    term: null as LeaderTerm | null,
    deposed: 0,
    leaseBack: 0,
    said: [] as Record<string, unknown>[],
  }
  const leadership = runLeadership({
    stateLog: handle.log,
    incarnation: name.padEnd(26, '0'),
    clock,
    settings: { ...settings, ...more },
    log: (fields) => void seen.said.push(fields),
    onLead: (term) => void (seen.term = term),
    onLeaseBack: () => void seen.leaseBack++,
    onDeposed: () => {
      seen.term = null
      seen.deposed++
    },
  })
  return { handle, seen, leadership }
}

export function keyOp(key: string, hash: string): StateOp {
  return { op: 'key', key: { key, hash, run: null, fault: null, at: 0 } }
}
export function drainOp(node: string, on = true): StateOp {
  return { op: 'drain', node, on }
}
