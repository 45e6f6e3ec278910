/**
 * The monotonic clock of each agent as its last beat told it, and what it shows now. Owns how long a beat
 * counts; a node that fell silent leaves memory.
 */

export interface BeatClocks {
  heard(node: string, beat: { incarnation: string; tick: number }): void
  /** The agent's clock now; null: there is no beat of this incarnation to count from. */
  tickOf(node: string, incarnation: string): number | null
  readonly size: number
}

/** @param keepMs  a node that has been silent for longer is forgotten */
export function beatClocks(now: () => number, keepMs: number): BeatClocks {
  /** in order of the last beat */
  const beats = new Map<string, { incarnation: string; tick: number; at: number }>()
  return {
    heard(node, { incarnation, tick }) {
      const at = now()
      const known = beats.get(node)
      if (known !== undefined && known.incarnation === incarnation && tick < known.tick) return
      beats.delete(node)
      beats.set(node, { incarnation, tick, at })
      for (const [oldest, beat] of beats) {
        if (at - beat.at <= keepMs) break
        beats.delete(oldest)
      }
    },
    tickOf(node, incarnation) {
      const beat = beats.get(node)
      return beat === undefined || beat.incarnation !== incarnation ? null : beat.tick + (now() - beat.at)
    },
    get size() {
      return beats.size
    },
  }
}
