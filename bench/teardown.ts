/** Everything that was started is ended, in reverse order, whatever happens in between. */
export interface Teardown {
  /**
   * Say how something is ended, before it is started.
   *
   * @returns ends it now, once
   * @throws {Error} when all is being ended already: nothing may start any more
   */
  add(end: () => Promise<unknown>): () => Promise<void>
  /** @throws {Error} when all is being ended already */
  goOn(): void
  /** end all that is left; what fails is told and does not stop the rest */
  end(onError: (error: unknown) => void): Promise<void>
}

export function teardown(): Teardown {
  const ends: (() => Promise<void>)[] = []
  let ending = false
  const goOn = (): void => {
    if (ending) throw new Error('interrupted')
  }
  return {
    goOn,
    add(end) {
      goOn()
      let done: Promise<void> | null = null
      const once = (): Promise<void> => {
        done ??= end().then(() => undefined)
        return done
      }
      ends.push(once)
      return once
    },
    async end(onError) {
      ending = true
      for (const end of ends.toReversed()) await end().catch(onError)
      ends.length = 0
    },
  }
}
