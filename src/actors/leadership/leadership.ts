/**
 * Who leads a fleet: one writer of the STATE log at a time. Owns the wait of a standby and its takeover;
 * whose turn it is stands in core/coordinator/lease.ts, a leader's term in leader-term.ts.
 */
import { foldEntries } from '../../core/coordinator/fold.ts'
import { readTail, whoLeads, type LogView } from '../../core/coordinator/lease.ts'
import { isFault } from '../../protocol/faults.ts'
import { STATE_FORMAT, type StateEntry, type StateOp } from '../../protocol/records.ts'
import type { Epoch } from '../../protocol/shapes.ts'
import type { Clock } from '../../system/clock.ts'
import type { StateLog } from '../../transport/state-log.ts'
import { RESIGN_MS, startTerm, type LeaderTerm, type LiveTerm, type TermSettings } from './leader-term.ts'

export interface LeadershipOptions {
  stateLog: StateLog
  incarnation: string
  clock: Clock
  settings: TermSettings & { takeoverMarginMs: number }
  log(fields: Record<string, unknown>): void
  onLead(term: LeaderTerm): void
  /** it may act again, after its lease had run out */
  onLeaseBack(): void
  onDeposed(error: unknown): void
}

export interface Leadership {
  /** stand down: says so in the log when it leads, so that a standby need not wait */
  resign(): Promise<void>
}

const RETRY_MS = 200
const LOOK_MS = 100

interface Campaign extends LeadershipOptions {
  stopped: boolean
  /** of the entries that this one wrote */
  number: number
  /** stores that this one made */
  stores: number
  view: LogView
  /** Of the last read. */
  entries: StateEntry[]
  term: LiveTerm | null
  /** The last trouble, which is said once. */
  said: string
}

export function runLeadership(options: LeadershipOptions): Leadership {
  const { clock, settings, incarnation } = options
  const c: Campaign = {
    ...options,
    stopped: false,
    number: 0,
    stores: 0,
    view: {
      self: incarnation,
      silenceMs: settings.leaseMs + settings.takeoverMarginMs,
      read: 'no',
      tail: null,
      emptied: false,
      resigned: false,
      seenAt: clock.now(),
    },
    entries: [],
    term: null,
    said: '',
  }
  const campaigning = campaign(c)
  return {
    async resign() {
      c.stopped = true
      await c.term?.resign()
      await Promise.race([campaigning, pause(c, RESIGN_MS)])
    },
  }
}

function pause({ clock }: Campaign, ms: number): Promise<void> {
  return new Promise((resolve) => clock.after(ms, resolve))
}

async function campaign(c: Campaign): Promise<void> {
  const { view, clock, settings } = c
  await openLog(c)
  if (c.stopped) return
  view.seenAt = clock.now()
  const unsubscribe = c.stateLog.onEntry((entry) => onEntry(c, entry))
  while (!c.stopped) {
    if (c.term !== null) {
      await c.term.ended
      c.term = null
      Object.assign(view, { read: 'no', resigned: false, seenAt: clock.now() })
      continue
    }
    const turn = whoLeads(view, clock.now())
    if (turn === 'wait') {
      if (view.read === 'fresh') view.read = 'before'
      await pause(c, Math.min(LOOK_MS, settings.renewMs))
      continue
    }
    try {
      if (turn === 'read') await readLog(c)
      else await takeOver(c)
    } catch (error) {
      await onTrouble(c, error)
    }
  }
  unsubscribe()
}

async function openLog(c: Campaign): Promise<void> {
  while (!c.stopped) {
    try {
      return await c.stateLog.open()
    } catch (error) {
      say(c, 'the state log cannot be opened yet', error)
      await pause(c, RETRY_MS)
    }
  }
}

function onEntry(c: Campaign, entry: StateEntry): void {
  Object.assign(c.view, { seenAt: c.clock.now(), tail: entry, resigned: entry.kind === 'resign' })
  if (c.term !== null && entry.writer !== c.incarnation && entry.epoch.n > c.term.epoch.n)
    c.term.depose(new Error(`epoch ${entry.epoch.n} of ${entry.writer} has begun`))
}

async function readLog(c: Campaign): Promise<void> {
  c.entries = await c.stateLog.read()
  readTail(c.view, c.entries.at(-1) ?? null, c.clock.now())
}

/** The first entry of the next epoch: the log refuses it to everybody else. */
async function takeOver(c: Campaign): Promise<void> {
  const { entries, stateLog, clock } = c
  const last = entries.at(-1)
  // a store that is made twice by the same one is two stores
  const epoch =
    last === undefined
      ? { storeId: c.stores++ === 0 ? c.incarnation : `${c.incarnation}-${c.stores}`, n: 1 }
      : { storeId: last.epoch.storeId, n: last.epoch.n + 1 }
  const takenAt = clock.now()
  await stateLog.append(entryOf(c, epoch, 'takeover', [], null))
  if (c.stopped) return
  c.view.emptied = false
  c.said = ''
  c.entries = []
  c.term = startTerm({
    ...c,
    epoch,
    durable: foldEntries(entries),
    lost: stateLog.lost,
    entries: entries.length,
    takenAt,
    entryOf: (kind, ops, part) => entryOf(c, epoch, kind, ops, part),
  })
  c.log({ level: 'info', msg: 'leads', epoch: epoch.n, storeId: epoch.storeId, entries: entries.length })
  c.onLead(c.term)
}

async function onTrouble(c: Campaign, error: unknown): Promise<void> {
  if (isFault(error, 'NOT_LEADER')) c.view.seenAt = c.clock.now()
  else say(c, 'takeover did not succeed', error)
  c.view.read = 'no'
  await pause(c, RETRY_MS)
  // a store that was lost is made again
  await c.stateLog.open().catch(() => {})
}

/** Tried again each moment; the log has it once. */
function say(c: Campaign, msg: string, error: unknown): void {
  const text = `${msg}: ${String(error)}`
  if (text === c.said) return
  c.said = text
  const hint = isFault(error) ? error.hint : undefined
  c.log({ level: hint === undefined ? 'warn' : 'error', msg, error: String(error), ...(hint && { hint }) })
}

function entryOf(
  c: Campaign,
  epoch: Epoch,
  kind: StateEntry['kind'],
  ops: StateOp[],
  part: StateEntry['part'],
): StateEntry {
  return {
    format: STATE_FORMAT,
    epoch,
    writer: c.incarnation,
    number: ++c.number,
    at: Math.round(c.clock.wall()),
    kind,
    part,
    ops,
  }
}
