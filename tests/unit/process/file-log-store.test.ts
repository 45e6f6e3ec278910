/** Marks and missing files of the log store over a spool. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fileLogStore } from '../../../src/process/file-log-store.ts'
import { NO_MARKS } from '../../../src/process/log-store.ts'
import { removeDirectory, temporaryDirectory } from '../../support/linux-host.ts'

const FORK = 'run.main.0.1'
let logs: string
beforeEach(() => {
  logs = temporaryDirectory()
  mkdirSync(join(logs, FORK))
})
afterEach(() => removeDirectory(logs))
function store() {
  return fileLogStore((forkId) => join(logs, forkId))
}

test('many writes of the marks of one fork at once: none fails, and the file is one of them, whole', async () => {
  const s = store()
  const all = (shipped: number) => ({ stdout: { ...NO_MARKS, shipped } })
  await Promise.all(Array.from({ length: 50 }, (_, i) => s.mark(FORK, all(i))))
  expect((await s.marks(FORK))['stdout']!.shipped).toBeLessThan(50)
  expect(readdirSync(join(logs, FORK))).toEqual(['.marks'])
})

test('the directory was removed by the program: marks are written all the same, and its bytes are GONE, not empty', async () => {
  const s = store()
  writeFileSync(join(logs, FORK, 'stdout'), 'one\n')
  expect(await s.missing(FORK)).toEqual(['stderr'])
  rmSync(join(logs, FORK), { recursive: true })
  expect(await s.missing(FORK)).toEqual(['stdout', 'stderr'])
  await s.mark(FORK, { stdout: { ...NO_MARKS, shipped: 4 } })
  await expect(s.read(FORK, 'stdout', 0, 100)).rejects.toMatchObject({ code: 'GONE', data: { floor: 4 } })
  await expect(s.read(FORK, 'stderr', 0, 100)).rejects.toMatchObject({ code: 'WORKER_NOT_FOUND' })
})
