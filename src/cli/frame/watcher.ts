/** What a wait says while it waits: one line that is rewritten, and why nothing is seen. */
import { whyNot, type Point } from '../../client/points.ts'
import type { Waiting } from '../../client/wait.ts'
import { isTerminal } from '../../protocol/shapes.ts'
import { helpLines } from '../render/help.ts'
import { durationText } from '../render/text.ts'
import type { Io } from './io.ts'
import { sayHelp } from './next-steps.ts'

/** What would help is said when it is the same for so long: a fleet that starts needs nobody's help. */
const HELP_AFTER_MS = 2000

export function watcher(io: Io, point: Point): Pick<Waiting, 'onStatus' | 'onTrouble'> {
  const began = Date.now()
  const waited = (): string => durationText(Date.now() - began)
  let [help, since, isSaid] = ['', began, false]
  return {
    onStatus(status) {
      const now = helpLines(status).join('\n')
      if (now !== help) [help, since, isSaid] = [now, Date.now(), false]
      else if (!isSaid && help !== '' && Date.now() - since >= HELP_AFTER_MS) {
        isSaid = true
        sayHelp(io, status)
      }
      io.status(isTerminal(status.state) ? null : `${whyNot(status, point)} (${waited()})`)
    },
    onTrouble: (fault) => io.status(`${fault.message} (${waited()})`),
  }
}
