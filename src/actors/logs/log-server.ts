/**
 * Serves `worker.log` from the spool: for forks that live here, that ended, and that were released, as long
 * as their logs are kept. One subscription for each worker, so that a worker that nobody holds is known at
 * once.
 *
 * Several nodes may hold attempts of one worker. Asked for an attempt, only the node that holds it answers;
 * asked for none, each answers with its latest, and who cannot live with that asks with the attempt that
 * status names (the client library does).
 */
import { Fault, toFault } from '../../protocol/faults.ts'
import { forkIdOf, parseForkId, workerIdOf } from '../../protocol/names.ts'
import type { ReplyOf } from '../../protocol/table.ts'
import { NO_MARKS, type LogStore } from '../../process/log-store.ts'
import type { Subscription } from '../../transport/bus.ts'
import type { Messenger, Request } from '../../transport/messenger.ts'

export interface LogServer {
  hold(forkId: string): void
  drop(forkId: string): void
  /** forget those that are not kept any more */
  keepOnly(forkIds: ReadonlySet<string>): void
  stop(): void
}

const BYTES_DEFAULT = 256 * 1024
/** Requests that are read for at the same time; each holds at most half a mebibyte. */
const READS_MAX = 16

interface Held {
  run: string
  role: string
  index: number
  attempts: Set<number>
  subscription: Subscription
}

interface Server {
  readonly messenger: Messenger
  readonly node: string
  readonly store: LogStore
  /** By the worker's id. */
  readonly workers: Map<string, Held>
  /** Requests that are read for now. */
  reads: number
}

export function startLogServer(options: { messenger: Messenger; node: string; store: LogStore }): LogServer {
  const s: Server = { ...options, workers: new Map(), reads: 0 }
  return {
    hold: (forkId) => hold(s, forkId),
    drop: (forkId) => drop(s, forkId),
    keepOnly(forkIds) {
      for (const { run, role, index, attempts } of s.workers.values())
        for (const attempt of attempts) {
          const forkId = forkIdOf(run, role, index, attempt)
          if (!forkIds.has(forkId)) drop(s, forkId)
        }
    },
    stop() {
      for (const { subscription } of s.workers.values()) subscription.unsubscribe()
      s.workers.clear()
    },
  }
}

function hold(s: Server, forkId: string): void {
  const parts = parseForkId(forkId)
  if (parts === null) return
  const { run, role, index, attempt } = parts
  const id = workerIdOf(run, role, index)
  const held = s.workers.get(id)
  if (held !== undefined) return void held.attempts.add(attempt)
  const attempts = new Set([attempt])
  s.workers.set(id, { run, role, index, attempts, subscription: serve(s, { run, role, index, attempts }) })
}

function drop({ workers }: Server, forkId: string): void {
  const parts = parseForkId(forkId)
  if (parts === null) return
  const id = workerIdOf(parts.run, parts.role, parts.index)
  const held = workers.get(id)
  if (!held?.attempts.delete(parts.attempt) || held.attempts.size > 0) return
  held.subscription.unsubscribe()
  workers.delete(id)
}

function serve(s: Server, { run, role, index, attempts }: Omit<Held, 'subscription'>): Subscription {
  return s.messenger.serve('worker.log', { run, role, index }, ({ body }, responder) => {
    const attempt = body.attempt ?? Math.max(...attempts)
    // another node may hold it: silence is the only answer that cannot be wrong
    if (!attempts.has(attempt)) return
    if (s.reads >= READS_MAX)
      return responder.fault(new Fault('OVERLOADED', `${READS_MAX} log requests are being read for`))
    s.reads++
    answer(s, forkIdOf(run, role, index, attempt), attempt, body)
      .then(responder.reply, (error: unknown) => responder.fault(toFault(error)))
      .catch(() => undefined) // the connection was closed meanwhile
      .finally(() => s.reads--)
  })
}

async function answer(
  { store, node }: Server,
  forkId: string,
  attempt: number,
  body: Request<'worker.log'>['body'],
): Promise<ReplyOf<'worker.log'>> {
  const [sizes, marks] = await Promise.all([store.sizes(forkId), store.marks(forkId)])
  const sources = Object.fromEntries(
    [...new Set([...Object.keys(sizes), ...Object.keys(marks)])].map((name) => {
      const { floor, generation, shipped, lost } = marks[name] ?? NO_MARKS
      const size = sizes[name]
      const kept = size === undefined ? { size: shipped, floor: shipped } : { size, floor }
      return [name, { ...kept, generation, shipped, ...(lost.length > 0 && { lost }) }]
    }),
  )
  const isFinal = (name: string): boolean => (marks[name] ?? NO_MARKS).final
  const about = { node, forkId, attempt, sources }
  const { source, bytesMax = BYTES_DEFAULT } = body
  if (source === undefined) {
    const final = Object.keys(sources).every(isFinal)
    return { ...about, source: null, offset: 0, bytes: new Uint8Array(0), final }
  }
  const found = sources[source]
  if (found === undefined)
    throw new Fault('WORKER_NOT_FOUND', `${forkId} has no log '${source}'`, {
      hint: `it has: ${Object.keys(sources).join(', ') || 'none yet'}`,
    })
  const offset =
    body.offset ??
    (body.tailLines === undefined ? found.floor : await store.offsetOfTail(forkId, source, body.tailLines))
  const bytes = (await store.read(forkId, source, offset, bytesMax)) as Uint8Array<ArrayBuffer>
  return { ...about, source, offset, bytes, final: isFinal(source) && offset + bytes.length >= found.size }
}
