/**
 * One `up`, `down` or restart at a time. A turn is a numbered file, made whole by link(2); the highest number
 * has the turn, so nobody ever removes a stale one that could just have become somebody's. Unlike the lock of
 * a spool it waits for its owner, and ends nobody.
 */
import { linkSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Fault } from '../protocol/faults.ts'
import { isAlive, readBootId, type ProcIdentity } from '../system/proc.ts'
import { identify } from './presence.ts'

interface Holder extends ProcIdentity {
  bootId: string
  what: string
  done: boolean
}

/**
 * @param what    said to those who wait: `up`, `down`
 * @param waitMs  0: do not wait
 * @returns gives the turn back
 * @throws {Fault} LOCKED when the holder did not finish in time
 */
export async function takeTurn(
  dir: string,
  what: string,
  waitMs: number,
  onWait: (holder: string) => void = () => {},
): Promise<() => void> {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const self: Holder = { ...identify(process.pid)!, bootId: readBootId(), what, done: false }
  const giveUpAt = performance.now() + waitMs
  for (let said = false; ;) {
    const highest = Math.max(0, ...numbersIn(dir))
    const holder = highest > 0 ? readHolder(join(dir, String(highest))) : null
    if (holder !== null && !holder.done && holder.bootId === self.bootId && isAlive(holder)) {
      if (performance.now() >= giveUpAt)
        throw new Fault('LOCKED', `'troupe ${holder.what}' (pid ${holder.pid}) is at work on this fleet`, {
          data: { pid: holder.pid },
        })
      if (!said) onWait(`troupe ${holder.what} (pid ${holder.pid})`)
      said = true
      await sleep(25)
      continue
    }
    const mine = highest + 1
    if (!put(dir, mine, self)) continue
    if (Math.max(...numbersIn(dir)) > mine) {
      rmSync(join(dir, String(mine)), { force: true })
      continue
    }
    for (const number of numbersIn(dir)) if (number < mine) rmSync(join(dir, String(number)), { force: true })
    return () => void put(dir, mine + 1, { ...self, done: true })
  }
}

function numbersIn(dir: string): number[] {
  return readdirSync(dir)
    .map(Number)
    .filter((number) => Number.isInteger(number))
}

function put(dir: string, number: number, holder: Holder): boolean {
  const temporary = join(dir, `new-${holder.pid}-${process.hrtime.bigint()}`)
  try {
    writeFileSync(temporary, JSON.stringify(holder), { mode: 0o600 })
    linkSync(temporary, join(dir, String(number)))
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally {
    rmSync(temporary, { force: true })
  }
}

function readHolder(file: string): Holder | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Holder
  } catch {
    return null
  }
}
