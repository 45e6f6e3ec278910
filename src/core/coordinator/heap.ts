/** A binary heap that knows where its items are, so that one can be taken out before its turn. */

export interface Heap<T> {
  push(item: T): void
  first(): T | undefined
  pop(): T | undefined
  /** @returns whether it was there; its key may have changed meanwhile */
  remove(item: T): boolean
  readonly size: number
}

/** @param before  a total order: the same items leave in the same order, however they came */
export function heapOf<T>(before: (a: T, b: T) => boolean): Heap<T> {
  const items: T[] = []
  const at = new Map<T, number>()

  const put = (item: T, i: number): void => {
    items[i] = item
    at.set(item, i)
  }
  const up = (item: T, from: number): void => {
    let i = from
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!before(item, items[parent]!)) break
      put(items[parent]!, i)
      i = parent
    }
    put(item, i)
  }
  const down = (item: T, from: number): void => {
    let i = from
    for (;;) {
      let child = 2 * i + 1
      if (child >= items.length) break
      if (child + 1 < items.length && before(items[child + 1]!, items[child]!)) child++
      if (!before(items[child]!, item)) break
      put(items[child]!, i)
      i = child
    }
    put(item, i)
  }
  const remove = (item: T): boolean => {
    const i = at.get(item)
    if (i === undefined) return false
    at.delete(item)
    const last = items.pop()!
    if (i === items.length) return true
    down(last, i)
    if (items[i] === last) up(last, i)
    return true
  }

  return {
    push: (item) => up(item, items.length),
    first: () => items[0],
    pop() {
      const [top] = items
      if (top !== undefined) remove(top)
      return top
    },
    remove,
    get size() {
      return items.length
    },
  }
}
