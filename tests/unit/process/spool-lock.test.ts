import { spawn } from 'node:child_process'
import { readdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { takeSpoolLock } from '../../../src/process/spool-lock.ts'
import { selfAsHolder, type Holder } from '../../../src/system/numbered-lock.ts'
import { readStat } from '../../../src/system/proc.ts'
import { removeDirectory, temporaryDirectory } from '../../support/linux-host.ts'

let directory: string
beforeEach(() => void (directory = temporaryDirectory()))
afterEach(() => removeDirectory(directory))

const self = selfAsHolder()
const WAIT = { termMs: 300, killMs: 2000 }
function put(number: number, owner: Holder): void {
  return symlinkSync(
    [owner.pid, owner.startTime, owner.bootId, owner.pidNamespace, owner.released ? 'released' : ''].join(
      ':',
    ),
    join(directory, String(number)),
  )
}

/** a process with a start time of its own */
async function sleeper(argv = ['sleep', '3600']) {
  const child = spawn(argv[0]!, argv.slice(1), { stdio: ['ignore', 'pipe', 'ignore'] })
  const gone = new Promise<string | null>((resolve) => child.once('exit', (_, signal) => resolve(signal)))
  if (argv[0] === 'sh') await new Promise((resolve) => child.stdout.once('data', resolve))
  else await new Promise((resolve) => child.once('spawn', resolve))
  return { owner: { ...self, pid: child.pid!, startTime: readStat(child.pid!)!.startTime }, gone, child }
}

test('a free spool is taken, and the same process is refused a second time', async () => {
  const lock = await takeSpoolLock(directory)
  expect(lock.held()).toBe(true)
  await expect(takeSpoolLock(directory)).rejects.toMatchObject({ code: 'LOCKED' })
})

test('what was given up can be taken again', async () => {
  const first = await takeSpoolLock(directory)
  first.release()
  expect(first.held()).toBe(false)
  expect((await takeSpoolLock(directory)).held()).toBe(true)
})

test('an owner that listens is ended by SIGTERM; one that does not by SIGKILL', async () => {
  const listens = await sleeper()
  put(1, listens.owner)
  await takeSpoolLock(directory, self, WAIT)
  expect(await listens.gone).toBe('SIGTERM')
  const deaf = await sleeper(['sh', '-c', 'trap "" TERM; echo ready; exec sleep 3600'])
  put(7, deaf.owner)
  await takeSpoolLock(directory, self, WAIT)
  expect(await deaf.gone).toBe('SIGKILL')
})

test('an owner that is dead, of another boot, or whose pid is another process now is not touched', async () => {
  const stranger = await sleeper()
  put(1, { ...stranger.owner, startTime: '1' })
  ;(await takeSpoolLock(directory, self, WAIT)).release()
  put(10, { ...stranger.owner, bootId: 'other' })
  ;(await takeSpoolLock(directory, self, WAIT)).release()
  expect(stranger.child.exitCode).toBeNull()
  expect(stranger.child.signalCode).toBeNull()
  stranger.child.kill('SIGKILL')
  await stranger.gone
})

test('an owner of another pid namespace cannot be verified: refused, and left alone', async () => {
  put(1, { ...self, pidNamespace: '1' })
  await expect(takeSpoolLock(directory)).rejects.toMatchObject({
    code: 'LOCKED',
    message: expect.stringContaining('namespace'),
    hint: expect.any(String),
  })
})

test('a newcomer takes it: the one before knows that it holds nothing any more', async () => {
  const first = await takeSpoolLock(directory)
  put(2, self)
  expect(first.held()).toBe(false)
})

test('many newcomers at once: exactly one holds it', async () => {
  put(1, { ...self, pid: 2 ** 22 + 1, startTime: '1' })
  // as if each were another process, so that none takes the others for itself; and none of them is there to
  // be ended
  const outcomes = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      takeSpoolLock(directory, { ...self, pid: 2 ** 22 + 2 + i, startTime: '1' }),
    ),
  )
  expect(outcomes.filter((lock) => lock.held())).toHaveLength(1)
  expect(readdirSync(directory)).toHaveLength(1)
})

test('what is no owner is passed over', async () => {
  symlinkSync('garbage', join(directory, '3'))
  expect((await takeSpoolLock(directory)).held()).toBe(true)
})
