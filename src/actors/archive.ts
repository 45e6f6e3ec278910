/**
 * Ended runs that the coordinator's memory no longer holds: written to their stream, and read back for
 * `status` and `list --all`.
 */
import { summaryOfStatus } from '../core/coordinator/status.ts'
import { subjectOf, wildcardOf } from '../protocol/subjects.ts'
import { streamOf } from '../protocol/table.ts'
import type { RunStatus, RunSummary } from '../protocol/shapes.ts'
import type { Bus } from '../transport/bus.ts'
import type { Messenger } from '../transport/messenger.ts'

export interface Archive {
  put(status: RunStatus): Promise<void>
  /** null when it is not there (or cannot be read now) */
  status(run: string): Promise<RunStatus | null>
  /** what is given, and the last archived runs behind it; without these when they cannot be read */
  list(live: { runs: RunSummary[] }): Promise<{ runs: RunSummary[] }>
}

/** the most that `list --all` shows of the archive */
const LISTED_MAX = 500

export function archiveOn({
  bus,
  messenger,
  fleet,
  log,
}: {
  bus: Bus
  messenger: Messenger
  fleet: string
  log(fields: Record<string, unknown>): void
}): Archive {
  const stream = streamOf(fleet, 'ARCHIVE')
  const failed = (error: unknown): null => {
    log({ level: 'warn', msg: 'the archive cannot be read', error: String(error) })
    return null
  }
  return {
    put: (status) => messenger.emit('archive', { run: status.run }, status),
    async status(run) {
      const message = await bus.getLast(stream, subjectOf(fleet, 'archive', { run })).catch(failed)
      return message === null ? null : (messenger.read('archive', message)?.body ?? null)
    },
    async list({ runs }) {
      const subject = wildcardOf(fleet, 'archive')
      const known = new Set(runs.map((run) => run.run))
      const last = await bus.getLast(stream, subject).catch(failed)
      if (last === null) return { runs }
      const messages = await bus
        .getMessages(stream, { seq: Math.max(1, last.seq - LISTED_MAX + 1), subject, count: LISTED_MAX })
        .catch(failed)
      const archived = (messages ?? [])
        .flatMap((message) => messenger.read('archive', message)?.body ?? [])
        .filter((status) => !known.has(status.run))
      return {
        runs: [...runs, ...archived.map(summaryOfStatus)].toSorted((a, b) => b.acceptedAt - a.acceptedAt),
      }
    },
  }
}
