import { expect, test } from 'vitest'
import { orderHeaders, parseEpoch, readOrderHeaders } from '../../../src/protocol/order-headers.ts'

test('an order’s epoch and tick are read as they were written', () => {
  expect(readOrderHeaders(orderHeaders({ epoch: { storeId: 'S1', n: 12 }, notAfter: 1234.5678 }))).toEqual({
    epoch: { storeId: 'S1', n: 12 },
    notAfter: 1234.568,
  })
})

test.each(['', 'S1', 'S1/', 'S1/x', '/3', 'a b/3', 'S1/-1'])('%j is no epoch', (text) => {
  expect(parseEpoch(text)).toBeNull()
})

test('what is missing is null, never a default that would let an order run', () => {
  expect(readOrderHeaders({})).toEqual({ epoch: null, notAfter: null })
  expect(readOrderHeaders({ 'Troupe-Not-After': 'soon' }).notAfter).toBeNull()
})
