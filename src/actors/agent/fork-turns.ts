/** Work on forks in turns: one at a time for each fork, in the order in which it was given. */
export interface ForkTurns {
  /**
   * Begins at once when nothing else works on these forks; a failure is told to `onFailed` and ends its turn.
   */
  take(forkIds: readonly string[], work: () => Promise<unknown>): void
}

export function forkTurns(onFailed: (error: unknown) => void): ForkTurns {
  /** The last turn of each fork. */
  const last = new Map<string, Promise<unknown>>()
  return {
    take(forkIds, work) {
      const before = forkIds.flatMap((forkId) => last.get(forkId) ?? [])
      const turn = (before.length === 0 ? work() : Promise.all(before).then(work)).catch(onFailed)
      for (const forkId of forkIds) last.set(forkId, turn)
      void turn.then(() => {
        for (const forkId of forkIds) if (last.get(forkId) === turn) last.delete(forkId)
      })
    },
  }
}
