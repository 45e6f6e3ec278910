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

export function startFactEmitter(options: {
  messenger: Messenger
  node: string
  incarnation: string
  clock: Clock
  onAcked(forkId: string, what: WorkerWhat): void
  log(fields: Record<string, unknown>): void
}): FactEmitter {
  const { messenger, node, incarnation, clock, onAcked, log } = options
  const lines = new Map<string, Line>()
  let stopped = false
  /** what waits for the next try; the link's return wakes them all */
  let sleepers: (() => void)[] = []
  const wake = (): void => {
    const woken = sleepers
    sleepers = []
    for (const sleeper of woken) sleeper()
  }
  const unlink = messenger.bus.onLink((connected) => connected && wake())
  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      sleepers.push(resolve)
      clock.after(ms, () => {
        sleepers = sleepers.filter((sleeper) => sleeper !== resolve)
        resolve()
      })
    })

  const sendOne = async (fact: WorkerFact): Promise<void> => {
    const { run, role, index, what } = fact
    for (let wait: number = RETRY_MS[0]; !stopped; wait = Math.min(wait * 2, RETRY_MS[1])) {
      try {
        return await messenger.emit('event.worker', { run, role, index, what, node }, fact)
      } catch (error) {
        // a fact that does not fit its row would block all after it for ever
        if (!(error instanceof Fault))
          return log({ msg: 'a fact does not fit the protocol', id: fact.id, error: String(error) })
        if (error.code === 'PERMISSION')
          log({ msg: 'the bus refuses a fact', id: fact.id, error: error.message })
      }
      await pause(wait)
    }
  }

  const drain = async (forkId: string, line: Line): Promise<void> => {
    line.sending = true
    while (!stopped && line.queue.length > 0) {
      const fact = line.queue.shift()!
      await sendOne(fact)
      if (!stopped) onAcked(forkId, fact.what as WorkerWhat)
    }
    line.sending = false
    if (line.queue.length === 0) lines.delete(forkId)
  }

  return {
    emit({ id, what, rev, report }) {
      if (stopped) return
      const line = lines.get(report.forkId) ?? { queue: [], sending: false }
      lines.set(report.forkId, line)
      const replaced = REPLACES[what]
      if (replaced !== undefined)
        line.queue = line.queue.filter((waiting) => !replaced.includes(waiting.what as WorkerWhat))
      line.queue.push({ id, at: clock.wall(), what, node, incarnation, rev, ...report })
      if (!line.sending) void drain(report.forkId, line)
    },
    stop() {
      stopped = true
      unlink()
      wake()
    },
    get waiting() {
      return lines.size
    },
  }
}
