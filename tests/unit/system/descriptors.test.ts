import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { keeping } from '../../../src/system/descriptors.ts'

test('a share of the limit may be kept, at least two; what is given back may be kept again', () => {
  const keep = keeping(1 / 3, 64)
  expect(Array.from({ length: 9 }, () => keep.take())).toEqual([...Array<boolean>(8).fill(true), false])
  keep.give()
  expect(keep.take()).toBe(true)
  expect(keep.take()).toBe(false)
  const small = keeping(1 / 3, 10)
  expect([small.take(), small.take(), small.take()]).toEqual([true, true, false])
})

test('of brief uses a few are under way at the same time, and all come to their turn, also after one that fails', async () => {
  const keep = keeping(1, 64)
  let [now, most] = [0, 0]
  const use = async (i: number): Promise<number> => {
    most = Math.max(most, ++now)
    await turn()
    now--
    if (i === 3) throw new Error('fails')
    return i
  }
  const ended = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => keep.briefly(() => use(i))))
  expect(ended.map(({ status }) => status).filter((status) => status === 'rejected')).toHaveLength(1)
  expect(most).toBe(4)
})
