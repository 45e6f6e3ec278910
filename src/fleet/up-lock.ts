/**
 * One `up`, `down` or restart of a fleet at a time. Unlike the lock of a spool this one waits for its holder,
 * and ends nobody. How the lock stands on disk is numbered-lock.ts.
 */
import { mkdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Fault } from '../protocol/faults.ts'
import { selfAsHolder, takeNumberedLock } from '../system/numbered-lock.ts'
import { isAlive } from '../system/proc.ts'

const LOOK_MS = 25

/**
 * @param note    the command, for those that wait: `up`, `down`
 * @param waitMs  0: do not wait
 * @returns releases the lock
 * @throws {Fault} LOCKED when the holder did not finish in time
 */
export async function takeUpLock(
  directory: string,
  note: string,
  waitMs: number,
  onWait: (holder: string) => void = () => {},
): Promise<() => void> {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const giveUpAt = performance.now() + waitMs
  let said = false
  const { release } = await takeNumberedLock(directory, selfAsHolder(note), async (holder) => {
    if (!isAlive(holder)) return true
    if (performance.now() >= giveUpAt)
      throw new Fault('LOCKED', `'troupe ${holder.note}' (pid ${holder.pid}) is at work on this fleet`, {
        data: { pid: holder.pid },
      })
    if (!said) onWait(`troupe ${holder.note} (pid ${holder.pid})`)
    said = true
    await sleep(LOOK_MS)
    return false
  })
  return release
}
