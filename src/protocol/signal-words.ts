/** A signal that a person sent, in the same words for events, status and explain. */
import type { SentSignal } from './shapes.ts'

const AIMS = { root: 'its root', ranks: 'its ranks', tree: 'all of its processes' } as const

/** `SIGUSR1 to its root, sent by ann` */
export function sentText({ signal, to, by }: SentSignal): string {
  return `${signal} to ${typeof to === 'number' ? `rank ${to}` : AIMS[to]}, sent by ${by}`
}

/** The latest last, and one that was sent again and again once. */
export function sentTexts(signals: readonly SentSignal[]): string[] {
  const times = new Map<string, number>()
  for (const sent of signals) {
    const text = sentText(sent)
    const before = times.get(text) ?? 0
    times.delete(text)
    times.set(text, before + 1)
  }
  return [...times].map(([text, count]) => (count > 1 ? `${text}, ${count} times` : text))
}
