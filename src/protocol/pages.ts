/**
 * Pages: everything that grows with a run, a node or a fleet is read in them. Owns the fields that ask for
 * a page, and the bounds of one; the meaning of a cursor is its list's. A cursor names the first item of the
 * next page, so a page stays right when items before it come or go.
 */
import * as z from 'zod'
import { Fault } from './faults.ts'

export const PAGE_COUNT_MAX = 10_000
/**
 * Of the items of one page, as JSON. Msgpack is smaller but for fractions, which take up to three times their
 * digits: a page fits twice into the 1 MiB that a server takes by default.
 */
export const PAGE_BYTES_MAX = 512 * 1024
const CURSOR_CHARS_MAX = 256

/** Fields of a request: `from` is `next` of the page before; a `count` beyond the bounds is a full page. */
export const PageFields = {
  from: z.string().min(1).max(CURSOR_CHARS_MAX).optional(),
  count: z
    .number()
    .int()
    .min(1, { error: ({ input }) => `${String(input)} is no size of a page: at least 1` })
    .optional(),
}
/** Field of a reply: the cursor of the next page, null at the end. */
export const NextField = { next: z.string().max(CURSOR_CHARS_MAX).nullable() }

export interface PageQuery {
  from?: string | undefined
  count?: number | undefined
}

export interface Page<T> {
  readonly items: T[]
  /** @returns false when the page is full, and the item is the first of the next one */
  add(item: T): boolean
}

/** An empty page. It takes its first item whatever the size, so that reading always moves on. */
export function newPage<T>(count = PAGE_COUNT_MAX, bytesMax = PAGE_BYTES_MAX): Page<T> {
  const items: T[] = []
  const countMax = Math.min(count, PAGE_COUNT_MAX)
  let left = bytesMax
  return {
    items,
    add(item) {
      if (items.length >= countMax) return false
      left -= Buffer.byteLength(JSON.stringify(item)) + 1
      if (left < 0 && items.length > 0) return false
      items.push(item)
      return true
    },
  }
}

/** One page from the start of `sources`. @returns `next`: the first that is not on it, null when all are */
export function fillPage<S, T>(
  sources: Iterable<S>,
  itemOf: (source: S) => T,
  { count, bytesMax }: { count?: number | undefined; bytesMax?: number } = {},
): { items: T[]; next: S | null } {
  const page = newPage<T>(count, bytesMax)
  for (const source of sources) if (!page.add(itemOf(source))) return { items: page.items, next: source }
  return { items: page.items, next: null }
}

export function noCursor(from: string, list: string): Fault {
  return new Fault('REQUEST_INVALID', `${JSON.stringify(from)} is no cursor of ${list}`, {
    data: { from },
    hint: 'send `next` of the page before as `from`, or leave it out for the first page',
  })
}
