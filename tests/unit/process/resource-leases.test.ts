import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createResourceLeases } from '../../../src/process/resource-leases.ts'
import { Fault } from '../../../src/protocol/faults.ts'

function gpu(id: string) {
  return { id, name: 'A100', memoryBytes: null }
}
function node(gpus = 4, cpus = 8, memoryBytes = 1000) {
  return createResourceLeases({
    gpus: Array.from({ length: gpus }, (_, i) => gpu(String(i))),
    cpus: Array.from({ length: cpus }, (_, i) => i),
    memoryBytes,
  })
}
function ask(changes: object = {}) {
  return { cpus: 0, gpus: 0, memoryBytes: 0, share: false, ...changes }
}

test('more GPUs, cores or memory than are free are refused with both numbers, and nothing of it is kept [A-19 +A7]', () => {
  const leases = node()
  leases.lease('a', ask({ gpus: 3, cpus: 6, memoryBytes: 600 }))
  for (const [resources, message] of [
    [{ gpus: 2 }, '2 GPUs asked for, 1 of 4 free'],
    [{ gpus: 1, cpus: 3 }, '3 cores asked for, 2 of 8 free'],
    [{ gpus: 1, memoryBytes: 500 }, '500 bytes of memory asked for, 400 of 1000 free'],
  ] as const) {
    expect(() => leases.lease('b', ask(resources))).toThrow(
      expect.objectContaining({ code: 'GPU_ALLOC', message: expect.stringContaining(message) }) as Fault,
    )
  }
  expect(leases.lease('c', ask({ gpus: 1, cpus: 2, memoryBytes: 400 }))).toEqual({
    gpus: ['3'],
    cores: [6, 7],
  })
})

test('freed GPUs and cores are given out again [A-19 +A7]', () => {
  const leases = node()
  const first = leases.lease('a', ask({ gpus: 4, cpus: 8, memoryBytes: 1000 }))
  leases.release('a')
  leases.release('a')
  expect(leases.lease('b', ask({ gpus: 4, cpus: 8, memoryBytes: 1000 }))).toEqual(first)
})

test('the same fork id gets the same lease again, and holds it once [A-19]', () => {
  const leases = node()
  const first = leases.lease('a', ask({ gpus: 2, cpus: 4 }))
  expect(leases.lease('a', ask({ gpus: 2, cpus: 4 }))).toEqual(first)
  expect(leases.lease('b', ask({ gpus: 2, cpus: 4 })).gpus).toEqual(['2', '3'])
})

test('with share leased GPUs are given again, least used first, and then nobody gets them alone [A-19]', () => {
  const leases = node(2)
  leases.lease('a', ask({ gpus: 1 }))
  expect(leases.lease('b', ask({ gpus: 1, share: true })).gpus).toEqual(['1'])
  expect(leases.lease('c', ask({ gpus: 2, share: true })).gpus).toEqual(['0', '1'])
  expect(() => leases.lease('d', ask({ gpus: 1 }))).toThrow('1 GPU asked for, 0 of 2 free')
  expect(() => leases.lease('d', ask({ gpus: 3, share: true }))).toThrow('3 GPUs asked for, 2 of 2 free')
})

test('what a live fork of an earlier agent holds is taken over, even a GPU that the node no longer lists, and freed with it [A-19]', () => {
  const leases = node(2, 2, 100)
  leases.adopt('old', { gpus: ['1', 'MIG-gone'], cores: [0], memoryBytes: 90 })
  expect(leases.lease('a', ask({ gpus: 1, cpus: 1, memoryBytes: 10 }))).toEqual({ gpus: ['0'], cores: [1] })
  expect(() => leases.lease('b', ask({ memoryBytes: 1 }))).toThrow('0 of 100 free')
  leases.release('old')
  expect(leases.lease('b', ask({ gpus: 1, cpus: 1, memoryBytes: 90 }))).toEqual({ gpus: ['1'], cores: [0] })
})

test('whatever is leased and freed in whatever order, no GPU or core that is not shared has two holders [A-19 +A7]', () => {
  const step = fc.record({
    fork: fc.integer({ min: 0, max: 5 }),
    free: fc.boolean(),
    gpus: fc.integer({ min: 0, max: 3 }),
    cpus: fc.integer({ min: 0, max: 5 }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const leases = node()
      const held = new Map<number, { gpus: string[]; cores: number[] }>()
      for (const { fork, free, gpus, cpus } of steps) {
        if (free) {
          leases.release(String(fork))
          held.delete(fork)
          continue
        }
        const open =
          held.has(fork) ||
          (4 - [...held.values()].flatMap((l) => l.gpus).length >= gpus &&
            8 - [...held.values()].flatMap((l) => l.cores).length >= cpus)
        try {
          held.set(fork, leases.lease(String(fork), ask({ gpus, cpus })))
          expect(open).toBe(true)
        } catch (error) {
          if (!(error instanceof Fault)) throw error
          expect(open).toBe(false)
        }
        const all = [...held.values()].flatMap((l) => [...l.gpus, ...l.cores.map((core) => `core ${core}`)])
        expect(new Set(all).size).toBe(all.length)
      }
    }),
  )
})
