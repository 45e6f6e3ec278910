import fc from 'fast-check'
import { expect, test } from 'vitest'
import { byteSemaphore } from '../../../../src/actors/logs/byte-semaphore.ts'

test('never more than its size is out, and whoever waits is served in order', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 15 }), { maxLength: 40 }), async (amounts) => {
      const semaphore = byteSemaphore(10)
      let out = 0
      const served: number[] = []
      await Promise.all(
        amounts.map(async (amount, i) => {
          await semaphore.take(amount)
          served.push(i)
          out += Math.min(amount, 10)
          expect(out).toBeLessThanOrEqual(10)
          await Promise.resolve()
          out -= Math.min(amount, 10)
          semaphore.give(amount)
        }),
      )
      expect(served).toEqual(amounts.map((_, i) => i))
    }),
  )
})
