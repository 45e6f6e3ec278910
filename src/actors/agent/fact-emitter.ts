/**
 * Tells an agent's facts until the event stream has acknowledged them: in order per fork, one of a fork in
 * flight, kept while the bus is away. Bounded: of a fork at most one each of its kinds waits, a newer report
 * of ready or ranks takes the place of the older.
 */
import { Fault } from '../../protocol/faults.ts'
import type { ForkReport } from '../../protocol/shapes.ts'
import type { BodyOf, WorkerWhat } from '../../protocol/table.ts'
import type { Clock } from '../../system/clock.ts'
import type { Messenger } from '../../transport/messenger.ts'
import { pausesOn, type Pauses } from '../pauses.ts'

export type WorkerFact = BodyOf<'event.worker'>
export interface FactEmitter {
  emit(fact: { id: string; what: WorkerWhat; rev: number; report: ForkReport }): void
  stop(): void
  /** forks that have something to tell */
  readonly waiting: number
}

const RETRY_MS = [100, 2000] as const
const REPLACES: Partial<Record<WorkerWhat, readonly WorkerWhat[]>> = {
  ready: ['ready', 'unready'],
  unready: ['ready', 'unready'],
  ranks: ['ranks'],
}

interface Line {
  queue: WorkerFact[]
  sending: boolean
}

interface EmitterOptions {
  messenger: Messenger
  node: string
  incarnation: string
  clock: Clock
  onAcked(forkId: string, what: WorkerWhat): void
  log(fields: Record<string, unknown>): void
}

interface Emitter extends EmitterOptions {
  /** The facts of each fork that has something to tell. */
  readonly lines: Map<string, Line>
  readonly pauses: Pauses
  stopped: boolean
}

export function startFactEmitter(options: EmitterOptions): FactEmitter {
  const { messenger, node, incarnation, clock } = options
  const e: Emitter = { ...options, lines: new Map(), pauses: pausesOn(clock), stopped: false }
  const unlink = messenger.bus.onLink((connected) => connected && e.pauses.wake())
  return {
    emit({ id, what, rev, report }) {
      if (e.stopped) return
      const line = e.lines.get(report.forkId) ?? { queue: [], sending: false }
      e.lines.set(report.forkId, line)
      const replaced = REPLACES[what]
      if (replaced !== undefined)
        line.queue = line.queue.filter((waiting) => !replaced.includes(waiting.what as WorkerWhat))
      line.queue.push({ id, at: clock.wall(), what, node, incarnation, rev, ...report })
      if (!line.sending) void drain(e, report.forkId, line)
    },
    stop() {
      e.stopped = true
      unlink()
      e.pauses.wake()
    },
    get waiting() {
      return e.lines.size
    },
  }
}

async function drain(e: Emitter, forkId: string, line: Line): Promise<void> {
  line.sending = true
  while (!e.stopped && line.queue.length > 0) {
    const fact = line.queue.shift()!
    await sendOne(e, fact)
    if (!e.stopped) e.onAcked(forkId, fact.what as WorkerWhat)
  }
  line.sending = false
  if (line.queue.length === 0) e.lines.delete(forkId)
}

/** Returns when the fact is acknowledged, or can never be, or the emitter was stopped. */
async function sendOne(e: Emitter, fact: WorkerFact): Promise<void> {
  const { run, role, index, what } = fact
  for (let wait: number = RETRY_MS[0]; !e.stopped; wait = Math.min(wait * 2, RETRY_MS[1])) {
    try {
      return await e.messenger.emit('event.worker', { run, role, index, what, node: e.node }, fact)
    } catch (error) {
      // a fact that does not fit its row would block all after it for ever
      if (!(error instanceof Fault))
        return e.log({ msg: 'a fact does not fit the protocol', id: fact.id, error: String(error) })
      if (error.code === 'PERMISSION')
        e.log({ msg: 'the bus refuses a fact', id: fact.id, error: error.message })
    }
    await e.pauses.pause(wait)
  }
}
