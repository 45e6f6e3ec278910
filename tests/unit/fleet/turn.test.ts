import { spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { takeTurn } from '../../../src/fleet/turn.ts'
import { readBootId } from '../../../src/system/proc.ts'

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'troupe-test-turn-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

test('many at once: one has the turn at any time, and each gets it', async () => {
  let inside = 0
  let most = 0
  const one = async (): Promise<void> => {
    const give = await takeTurn(dir, 'up', 20_000)
    most = Math.max(most, ++inside)
    await new Promise((resolve) => setTimeout(resolve, 1))
    inside--
    give()
  }
  await Promise.all(Array.from({ length: 12 }, one))
  expect([most, inside]).toEqual([1, 0])
})

test('a holder that does not finish: who may not wait is told what it is', async () => {
  const give = await takeTurn(dir, 'up', 0)
  await expect(takeTurn(dir, 'down', 0)).rejects.toMatchObject({
    code: 'LOCKED',
    message: expect.stringContaining(`'troupe up' (pid ${process.pid})`),
  })
  give()
  ;(await takeTurn(dir, 'down', 0))()
})

test('a holder that was killed has no turn', async () => {
  const { pid } = spawnSync('/bin/true')
  await writeFile(
    join(dir, '7'),
    JSON.stringify({ pid, startTime: '1', bootId: readBootId(), what: 'up', done: false }),
  )
  ;(await takeTurn(dir, 'up', 0))()
})

test('a holder of before the last boot has no turn, though a process has its pid now', async () => {
  const give = await takeTurn(dir, 'up', 0)
  give()
  await writeFile(
    join(dir, '9'),
    JSON.stringify({ pid: 1, startTime: '1', bootId: 'another', what: 'up', done: false }),
  )
  ;(await takeTurn(dir, 'up', 0))()
})
