/**
 * A bounded amount that is taken and given back, first come first served: what keeps log shipping's memory
 * flat.
 */
export interface ByteSemaphore {
  take(amount: number): Promise<void>
  give(amount: number): void
}

export function byteSemaphore(size: number): ByteSemaphore {
  let free = size
  const queue: { amount: number; go: () => void }[] = []
  return {
    take(amount) {
      // one that is larger than the whole window goes alone
      const wanted = Math.min(amount, size)
      if (queue.length === 0 && free >= wanted) {
        free -= wanted
        return Promise.resolve()
      }
      return new Promise((resolve) => queue.push({ amount: wanted, go: resolve }))
    },
    give(amount) {
      free += Math.min(amount, size)
      while (queue.length > 0 && free >= queue[0]!.amount) {
        const { amount: wanted, go } = queue.shift()!
        free -= wanted
        go()
      }
    },
  }
}
