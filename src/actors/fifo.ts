/**
 * First in, first out, at the same cost for any length: `Array.shift` moves everything that is left each
 * time.
 */
export interface Fifo<T> extends Iterable<T> {
  readonly size: number
  push(item: T): void
  first(): T
  shift(): T
}

export function fifo<T>(): Fifo<T> {
  let items: T[] = []
  let head = 0
  return {
    get size() {
      return items.length - head
    },
    push: (item) => void items.push(item),
    first: () => items[head]!,
    shift() {
      const item = items[head++]!
      if (head > 1024 && head * 2 > items.length) {
        items = items.slice(head)
        head = 0
      }
      return item
    },
    *[Symbol.iterator]() {
      for (let i = head; i < items.length; i++) yield items[i]!
    },
  }
}
