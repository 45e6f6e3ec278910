import { availableParallelism, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { cpuQuota, parseCpuList, readCapacity } from '../../../src/process/capacity.ts'

test('the capacity of this machine is within what the kernel gives it, with the address that the agent was told [A-04]', async () => {
  const { capacity, cores } = await readCapacity(
    { PATH: '/usr/bin:/bin', TROUPE_HOST: '127.0.0.1', CUDA_VISIBLE_DEVICES: '' },
    '1.2.3',
  )
  expect(cores.length).toBe(capacity.cpus)
  expect(capacity.cpus).toBeGreaterThanOrEqual(1)
  expect(capacity.cpus).toBeLessThanOrEqual(availableParallelism())
  expect(capacity.memoryBytes).toBeGreaterThan(2 ** 26)
  expect(capacity.memoryBytes).toBeLessThanOrEqual(totalmem())
  expect(capacity).toMatchObject({ host: '127.0.0.1', version: '1.2.3', gpus: [] })
})

test('nvidia-smi on the agent’s own PATH is asked (a program that replays answers in the published form) [A-19]', async () => {
  const { capacity } = await readCapacity({
    PATH: `${fileURLToPath(new URL('../../support/nvidia-smi/plain', import.meta.url))}:/usr/bin:/bin`,
    TROUPE_HOST: '127.0.0.1',
  })
  expect(capacity.gpus.length).toBe(8)
})

test('an affinity mask is read as a list of cores [A-04]', () => {
  expect(parseCpuList('0-3,8,10-11')).toEqual([0, 1, 2, 3, 8, 10, 11])
  expect(parseCpuList('5')).toEqual([5])
})

test('a quota of either cgroup version is a number of cores, and none is no limit [A-04]', () => {
  expect(cpuQuota('150000 100000\n', '', '')).toBe(1.5)
  expect(cpuQuota('max 100000\n', '', '')).toBe(Infinity)
  expect(cpuQuota('', '400000\n', '100000\n')).toBe(4)
  expect(cpuQuota('', '-1\n', '100000\n')).toBe(Infinity)
  expect(cpuQuota('', '', '')).toBe(Infinity)
})
