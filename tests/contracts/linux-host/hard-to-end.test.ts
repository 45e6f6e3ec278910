/** Trees that are hard to end: nothing of them is left after a kill, and what a kill cannot end is told. */
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { findCgroups } from '../../../src/process/cgroup.ts'
import { fileOf, forkDirOf } from '../../../src/process/spool.ts'
import { isAlive, readStat } from '../../../src/system/proc.ts'
import { TREES } from '../../support/linux-host.ts'
import {
  events,
  host,
  logOf,
  misbehave,
  misbehaving,
  open,
  recordOf,
  spoolDir,
  start,
  startAll,
  until,
} from '../../support/linux-host-suite.ts'
import { forkSpec } from '../../support/spec.ts'

const ways =
  findCgroups('test') === null
    ? [['without cgroups', false] as const]
    : [['without cgroups', false] as const, ['with a cgroup', true] as const]

describe.each(ways)('a tree that is hard to end, %s', (_, cgroups) => {
  test.each(Object.keys(TREES) as (keyof typeof TREES)[])(
    '%s: nothing of it is left after kill, and the receipt says so [A-32 A-07 FC-2 +A17]',
    async (name) => {
      await open({ cgroups })
      const { spec, members } = await startAll(name)
      if (name === 'ignore-term') host.signalTree(spec.forkId, 'SIGTERM')
      const began = performance.now()
      await host.killTree(spec.forkId)
      expect(performance.now() - began).toBeLessThan(3000)
      expect((await events.next('empty', spec.forkId)).receipt).toEqual({
        outcome: 'gone',
        survivors: [],
        reason: null,
      })
      expect(members.filter((stat) => isAlive(stat))).toEqual([])
      expect(misbehaving()).toEqual([])
      expect((await events.next('exited', spec.forkId)).exit).toMatchObject({ code: null, unknown: null })
    },
  )
})

test('the shim and the agent are spared, whatever is killed [A-32]', async () => {
  await open()
  // a tree that ended at once would take its shim along, and nobody could tell
  const { spec } = await startAll('ignore-term')
  const { shim } = recordOf(spec.forkId)
  host.signalTree(spec.forkId, 'SIGTERM')
  expect(isAlive(shim!)).toBe(true)
  await host.killTree(spec.forkId)
  await events.next('empty', spec.forkId)
  expect(recordOf(spec.forkId).emptyAt).not.toBeNull()
})

test('a signal to the tree arrives once at every process of it', async () => {
  await open()
  // blocked before it is said to be ready, and taken by sigwait: none can come too early
  const script = `
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
if os.fork() == 0:
    os.setsid()
    os.fork()
os.write(1, b"ready\\n")
while signal.sigwait({signal.SIGUSR1}): os.write(1, b"USR1\\n")
`
  const spec = forkSpec([misbehave()[0]!, '-ISsc', script])
  await start(spec)
  await until(() => logOf(spec.forkId, 'stdout') === 'ready\n'.repeat(3), 'three processes')
  host.signalTree(spec.forkId, 'SIGUSR1')
  await until(() => logOf(spec.forkId, 'stdout').split('USR1').length > 3, 'three arrivals')
  await host.killTree(spec.forkId)
  await events.next('empty', spec.forkId)
  expect(logOf(spec.forkId, 'stdout')).toBe('ready\n'.repeat(3) + 'USR1\n'.repeat(3))
})

test('a signal to the root reaches no other process of the tree', async () => {
  await open()
  const script = `
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
name = b"root" if os.fork() else b"child"
os.write(1, name + b" ready\\n")
while signal.sigtimedwait({signal.SIGUSR1}, 3600): os.write(1, name + b" got it\\n")
`
  const spec = forkSpec([misbehave()[0]!, '-ISsc', script])
  await start(spec)
  await until(() => logOf(spec.forkId, 'stdout').split('ready').length === 3, 'both are ready')
  host.signalRoot(spec.forkId, 'SIGUSR1')
  await until(() => logOf(spec.forkId, 'stdout').includes('got it'), 'it arrives')
  await host.killTree(spec.forkId)
  await events.next('empty', spec.forkId)
  expect(logOf(spec.forkId, 'stdout').match(/.* got it/g)).toEqual(['root got it'])
})

test.each(['signalRoot', 'signalTree'] as const)(
  'a process that has stopped itself goes on when a stop comes, and may save: %s',
  async (send) => {
    await open()
    const script = 'trap "echo saved; exit 3" TERM; echo ready; kill -STOP $$; sleep 3600 & wait'
    const spec = forkSpec(['sh', '-c', script])
    const { pid } = await start(spec)
    await until(() => readStat(pid!)?.state === 'T', 'it has stopped itself')
    host[send](spec.forkId, 'SIGTERM')
    expect((await events.next('exited', spec.forkId)).exit).toMatchObject({ code: 3, signal: null })
    expect(logOf(spec.forkId, 'stdout')).toContain('saved')
    await host.killTree(spec.forkId)
    await events.next('empty', spec.forkId)
  },
)

test('a stop that the shim has begun: the agent sends no signal', async () => {
  await open()
  const spec = forkSpec(misbehave('on-term-exit', '7'), { fenceAfterMs: 60_000 })
  await start(spec)
  await until(() => logOf(spec.forkId, 'stdout').includes('ready'), 'it is ready')
  const stopping = fileOf.stopping(forkDirOf(spoolDir, spec.forkId))
  writeFileSync(stopping, 'shim')
  host.signalRoot(spec.forkId, 'SIGTERM')
  host.signalTree(spec.forkId, 'SIGTERM')
  rmSync(stopping)
  // had one arrived before, it would have ended with 7 by now: SIGKILL comes after it
  await host.killTree(spec.forkId)
  expect((await events.next('exited', spec.forkId)).exit.signal).toBe('SIGKILL')
})

test('health counts the processes of the tree and their memory', async () => {
  await open()
  const { spec } = await startAll('family')
  const { processes, rssBytes } = await host.measure(spec.forkId)
  expect(processes).toBe(5)
  expect(rssBytes).toBeGreaterThan(5 * 1024 * 1024)
})

describe('a process that SIGKILL does not end', () => {
  /** the v1 freezer holds a process where no signal gets to it, like a driver or a dead NFS server */
  const FREEZER = '/sys/fs/cgroup/freezer'
  const canFreeze = ((): boolean => {
    try {
      accessSync(FREEZER, constants.W_OK)
      return existsSync(join(FREEZER, 'cgroup.procs'))
    } catch {
      return false
    }
  })()

  test.runIf(canFreeze)(
    'is told as a survivor by name, keeps its leases while it is there, and loses them when it ends [A-32]',
    async () => {
      await open({ cgroups: false, killBudgetMs: 300 })
      const { cpus } = await host.capacity()
      const resources = { cpus, gpus: 0, memoryBytes: 0, ports: 0, share: false }
      const [spec, next] = [
        forkSpec(['sleep', '3600'], { n: 0, resources }),
        forkSpec(['true'], { n: 1, resources }),
      ]
      const { pid } = await start(spec)
      const freezer = join(FREEZER, `troupe-test-${process.pid}`)
      mkdirSync(freezer)
      try {
        writeFileSync(join(freezer, 'cgroup.procs'), String(pid))
        writeFileSync(join(freezer, 'freezer.state'), 'FROZEN')
        await host.killTree(spec.forkId)
        expect((await events.next('empty', spec.forkId)).receipt).toEqual({
          outcome: 'survivors',
          survivors: [{ pid, command: 'sleep 3600' }],
          reason: null,
        })
        await expect(host.prepare([next])).rejects.toMatchObject({ code: 'GPU_ALLOC' })
        writeFileSync(join(freezer, 'freezer.state'), 'THAWED')
        await until(() => recordOf(spec.forkId).emptyAt !== null, 'the survivor is gone')
        expect((await events.next('exited', spec.forkId)).exit.signal).toBe('SIGKILL')
        await host.prepare([next])
        expect(events.told.filter((event) => event.what === 'empty')).toHaveLength(1)
      } finally {
        writeFileSync(join(freezer, 'freezer.state'), 'THAWED')
        await until(() => readFileSync(join(freezer, 'cgroup.procs'), 'utf8') === '', 'the freezer is empty')
        rmdirSync(freezer)
      }
    },
  )
})
