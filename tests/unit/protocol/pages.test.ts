import { expect, test } from 'vitest'
import * as z from 'zod'
import { encode } from '../../../src/protocol/codec.ts'
import { fillPage, newPage, PAGE_BYTES_MAX, PAGE_COUNT_MAX, PageFields } from '../../../src/protocol/pages.ts'

const Query = z.object(PageFields)

test('a page ends by its count, and names the first item that is not on it', () => {
  expect(fillPage([1, 2, 3], (n) => n * 10, { count: 2 })).toEqual({ items: [10, 20], next: 3 })
  expect(fillPage([1, 2], (n) => n, { count: 2 })).toEqual({ items: [1, 2], next: null })
})

test('a page ends by its bytes, in JSON as in msgpack', () => {
  const items = Array.from({ length: 3000 }, (_, i) => ({ i, text: '€"\n'.repeat(100) }))
  const page = fillPage(items, (item) => item)
  expect(page.items.length).toBeGreaterThan(100)
  expect(page.next).toBe(items[page.items.length])
  for (const form of ['json', 'msgpack'] as const)
    expect(encode(page.items, form).length).toBeLessThanOrEqual(PAGE_BYTES_MAX + 2)
})

test('fractions are larger in msgpack than in JSON: a page of them is at most three times its bound', () => {
  const { items } = fillPage(Array.from({ length: 400_000 }).fill(0.5), (n) => n, {})
  expect(encode(items, 'msgpack').length).toBeLessThan(3 * PAGE_BYTES_MAX)
})

test('an item that is larger than a page has a page of its own', () => {
  const page = newPage<string>(10, 100)
  expect(page.add('x'.repeat(1000))).toBe(true)
  expect(page.add('y')).toBe(false)
})

test('a count of 10^9 is a full page; 0, less and what is no whole number are refused with the value', () => {
  expect(Query.parse({ count: 1e9 })).toEqual({ count: 1e9 })
  expect(fillPage(Array.from({ length: PAGE_COUNT_MAX + 1 }).fill(1), (n) => n, { count: 1e9 }).next).toBe(1)
  for (const count of [0, -1])
    expect(Query.safeParse({ count }).error?.issues[0]?.message).toBe(
      `${count} is no size of a page: at least 1`,
    )
  for (const count of [1.5, '7', null]) expect(Query.safeParse({ count }).success).toBe(false)
})
