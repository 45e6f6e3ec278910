import { spawnSync } from 'node:child_process'
import { symlinkSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { takeUpLock } from '../../../src/fleet/up-lock.ts'
import { selfAsHolder, type Holder } from '../../../src/system/numbered-lock.ts'

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'troupe-test-up-lock-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

test('many at once: one holds the lock at any time, and each gets it', async () => {
  let inside = 0
  let most = 0
  const one = async (): Promise<void> => {
    const release = await takeUpLock(dir, 'up', 20_000)
    most = Math.max(most, ++inside)
    await new Promise((resolve) => setTimeout(resolve, 1))
    inside--
    release()
  }
  await Promise.all(Array.from({ length: 12 }, one))
  expect([most, inside]).toEqual([1, 0])
})

test('a holder that does not finish: who may not wait is told what it is', async () => {
  const release = await takeUpLock(dir, 'up', 0)
  await expect(takeUpLock(dir, 'down', 0)).rejects.toMatchObject({
    code: 'LOCKED',
    message: expect.stringContaining(`'troupe up' (pid ${process.pid})`),
  })
  release()
  ;(await takeUpLock(dir, 'down', 0))()
})

function put(number: number, holder: Partial<Holder>): void {
  const { pid, startTime, bootId, pidNamespace } = { ...selfAsHolder(), ...holder }
  symlinkSync([pid, startTime, bootId, pidNamespace, '', 'up'].join(':'), join(dir, String(number)))
}

test('a holder that was killed holds nothing', async () => {
  put(7, { pid: spawnSync('/bin/true').pid })
  ;(await takeUpLock(dir, 'up', 0))()
})

test('a holder of before the last boot holds nothing, though a process has its pid now', async () => {
  put(9, { bootId: 'another' })
  ;(await takeUpLock(dir, 'up', 0))()
  put(99, {})
  await expect(takeUpLock(dir, 'up', 0)).rejects.toMatchObject({ code: 'LOCKED' })
})

test('a command with a colon in its words is told whole', async () => {
  const release = await takeUpLock(dir, 'agent --node a:b', 0)
  await expect(takeUpLock(dir, 'down', 0)).rejects.toMatchObject({
    message: `'troupe agent --node a:b' (pid ${process.pid}) is at work on this fleet`,
  })
  release()
})
