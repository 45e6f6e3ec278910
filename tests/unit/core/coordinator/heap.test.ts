import fc from 'fast-check'
import { expect, test } from 'vitest'
import { heapOf } from '../../../../src/core/coordinator/heap.ts'

test('items are pushed and removed in any order: they leave as if they had been sorted', () => {
  const operations = fc.array(fc.tuple(fc.boolean(), fc.nat(50)), { maxLength: 200 })
  fc.assert(
    fc.property(operations, (list) => {
      const heap = heapOf<number>((a, b) => a < b)
      const there = new Set<number>()
      for (const [push, item] of list) {
        if (push && !there.has(item)) heap.push(item)
        if (push) there.add(item)
        else expect(heap.remove(item)).toBe(there.delete(item))
        expect([heap.size, heap.first()]).toEqual([there.size, [...there].toSorted((a, b) => a - b)[0]])
      }
      const left: number[] = []
      for (let item = heap.pop(); item !== undefined; item = heap.pop()) left.push(item)
      expect(left).toEqual([...there].toSorted((a, b) => a - b))
    }),
    { numRuns: 200, seed: 7 },
  )
})
