/** How far a fork and a worker have come. */
import type { ForkReport } from '../../protocol/shapes.ts'
import type { Stage, Worker } from './types.ts'

/** How far a fork has come; facts only move forward. */
const PHASE_ORDER = {
  prepared: 1,
  starting: 2,
  running: 3,
  stopping: 4,
  exited: 5,
  gone: 6,
  cancelled: 6,
} as const

export function phaseOrder(report: ForkReport): number {
  return PHASE_ORDER[report.phase]
}

export function stageOf(worker: Worker): Stage {
  const { record, report } = worker
  if (record.phase === 'waiting') return 'waiting'
  if (record.phase === 'ended') return 'ended'
  // after a failover its start is on record before its agent has spoken
  if (report === null) return record.last?.startedAt == null ? 'placed' : 'started'
  switch (report.phase) {
    case 'prepared':
      return 'prepared'
    case 'starting':
      return report.startedAt === null ? 'prepared' : 'started'
    case 'running':
      return report.ready && record.ending === null ? 'ready' : 'started'
    case 'stopping':
      return 'started'
    case 'exited':
    case 'gone':
    case 'cancelled':
      return 'exited'
    default:
      return report.phase satisfies never
  }
}

export function live(worker: Worker): boolean {
  return worker.record.phase === 'placed'
}
