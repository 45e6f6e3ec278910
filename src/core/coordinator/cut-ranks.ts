/** Ranks that torchrun itself killed: for `explain`, with why their grace did not hold. */
import { causeText, isBy } from '../../protocol/causes.ts'
import { SHUTDOWN_TIMEOUT, TORCH_SHUTDOWN_S } from '../../protocol/shutdown-timeout.ts'
import { exitText } from './exit-code.ts'
import { secondsText } from './seconds-text.ts'
import type { Worker } from './types.ts'
import { viewOf } from './worker.ts'

export function cutRanks(worker: Worker): { subject: string; text: string; next: string }[] {
  const { graceMs } = worker.role.spec.stop
  const role = `${worker.run.record.run}/${worker.record.role}`
  return viewOf(worker).ranks.flatMap(({ rank, exit }) => {
    const by = exit?.killedBy
    if (exit === null || !isBy(by, 'launcher')) return []
    const text = `${exitText(exit)}, ended by ${causeText(by)}${whyText(by.afterMs, graceMs)}`
    return [{ subject: `${role}:${rank}`, text, next: `troupe logs ${role} --rank ${rank} --tail 50` }]
  })
}

function whyText(afterMs: number, graceMs: number): string {
  if (afterMs >= graceMs) return ''
  const why =
    afterMs === TORCH_SHUTDOWN_S * 1000
      ? ': torch before 2.12 waits no longer, and no torch does after the failure of another of its ranks'
      : `: its environment has a shorter ${SHUTDOWN_TIMEOUT}`
  return `, before the ${secondsText(graceMs)} of stop.grace were over${why}`
}
