/** What a wait says while it waits: one line that is rewritten, and why nothing is seen. */
import { whyNot, type Point } from '../../client/points.ts'
import type { Waiting } from '../../client/wait.ts'
import { isTerminal } from '../../protocol/shapes.ts'
import { durationText } from '../render/text.ts'
import type { Io } from './io.ts'

export function watcher(io: Io, point: Point): Pick<Waiting, 'onStatus' | 'onTrouble'> {
  const began = Date.now()
  const waited = (): string => durationText(Date.now() - began)
  return {
    onStatus: (status) =>
      io.status(isTerminal(status.state) ? null : `${whyNot(status, point)} (${waited()})`),
    onTrouble: (fault) => io.status(`${fault.message} (${waited()})`),
  }
}
