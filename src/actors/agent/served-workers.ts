/**
 * The workers that this node answers for: health while a fork of them is known, logs as long as they are
 * kept. The host deletes old logs by its own rules; a log that is gone is not served any more.
 */
import { parseForkId, workerIdOf } from '../../protocol/names.ts'
import { offer, type LiveAgent } from './live-agent.ts'

/** Forks released since the kept logs were listed: some logs may have gone for them. */
const KEPT_RELEASES = 1000

export function serveWorker(a: LiveAgent, forkId: string): void {
  a.logServer.hold(forkId)
  const { run, role, index } = parseForkId(forkId)!
  const id = workerIdOf(run, role, index)
  const served = a.health.get(id)
  if (served !== undefined) return void served.forks.add(forkId)
  const subscription = a.messenger.serve('worker.health', { run, role, index }, (_, responder) =>
    offer(a, responder, (order) => ({ type: 'health', order, run, role, index })),
  )
  a.health.set(id, { forks: new Set([forkId]), subscription })
}

export function unserveWorker(a: LiveAgent, forkId: string, logsToo: boolean): void {
  if (logsToo) a.logServer.drop(forkId)
  else if (++a.released % KEPT_RELEASES === 0) forgetDeletedLogs(a)
  const { run, role, index } = parseForkId(forkId)!
  const id = workerIdOf(run, role, index)
  const served = a.health.get(id)
  if (served === undefined || !served.forks.delete(forkId) || served.forks.size > 0) return
  served.subscription.unsubscribe()
  a.health.delete(id)
}

export function forgetDeletedLogs({ logs, logServer, health, log }: LiveAgent): void {
  logs.retained().then(
    (kept) =>
      logServer.keepOnly(new Set([...kept, ...[...health.values()].flatMap(({ forks }) => [...forks])])),
    (error: unknown) => log({ msg: 'the kept logs cannot be listed', error: String(error) }),
  )
}
