/** Says which keys and credentials end within a month: by `up`, and each day in the coordinator's log. */
import { whenText } from '../protocol/when-text.ts'
import { DAY_MS } from '../system/clock.ts'
import type { ComponentLog } from './component-log.ts'
import { endingSoon, listKeys, type KeyEntry } from './key-list.ts'
import type { FleetLayout } from './layout.ts'

const NEXT: Partial<Record<KeyEntry['kind'], string>> = {
  authority: '. next: troupe keys rotate ca',
  certificate: '. next, when it can be renewed: troupe up',
}

export function warningOf({ kind, name, ends }: KeyEntry, now: number): string {
  const next = NEXT[kind] ?? ''
  return `warning: ${kind} ${name} ${ends! > now ? 'ends' : 'ended'} at ${whenText(ends!)}${next}`
}

export async function keyWarnings(layout: FleetLayout, now: number): Promise<string[]> {
  return endingSoon(await listKeys(layout, now), now).map((entry) => warningOf(entry, now))
}

/** @returns ends it */
export function warnEachDay(layout: FleetLayout, log: ComponentLog): () => void {
  const look = async (): Promise<void> => {
    const now = Date.now()
    const entries = await listKeys(layout, now).catch(() => [])
    for (const { kind, name, key, ends } of endingSoon(entries, now))
      log({ level: 'warn', msg: 'a key ends soon', kind, name, key, ends: whenText(ends!) })
  }
  void look()
  const timer = setInterval(() => void look(), DAY_MS)
  timer.unref()
  return () => clearInterval(timer)
}
