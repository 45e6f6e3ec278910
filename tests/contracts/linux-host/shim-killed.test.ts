/** The shim of a fork is killed: an unknown exit is told as one, and what can be found is ended. */
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { findCgroups } from '../../../src/process/cgroup.ts'
import { isAlive } from '../../../src/system/proc.ts'
import { processesOf } from '../../support/linux-host.ts'
import {
  directory,
  events,
  host,
  open,
  recordOf,
  spoolDir,
  start,
  startAll,
  until,
} from '../../support/linux-host-suite.ts'
import { forkSpec, NO_BINDINGS } from '../../support/spec.ts'

describe('the shim is killed', () => {
  const killShim = async (forkId: string): Promise<void> =>
    process.kill(recordOf(forkId).shim!.pid, 'SIGKILL') as unknown as void

  test('the exit is unknown, with the reason, never a guess; the worker runs on until it is ended [A-32 FC-1]', async () => {
    await open({ cgroups: false })
    const spec = forkSpec(['sleep', '3600'])
    const { pid } = await start(spec)
    await killShim(spec.forkId)
    const { exit } = await events.next('exited', spec.forkId)
    expect(exit).toMatchObject({ code: null, signal: null, oom: null })
    expect(exit.unknown).toContain('the shim was killed')
    expect(processesOf(spoolDir, spec.forkId)).toEqual([pid])
  })

  test.each(['family', 'setproctitle', 'ignore-term'] as const)(
    '%s, without a cgroup: what can be found is ended, and the receipt is unverified, with why [A-32 FC-2 +A17]',
    async (name) => {
      await open({ cgroups: false })
      const { spec, members } = await startAll(name)
      await killShim(spec.forkId)
      await events.next('exited', spec.forkId)
      await host.killTree(spec.forkId)
      const { receipt } = await events.next('empty', spec.forkId)
      expect(receipt.outcome).toBe('unverified')
      expect(receipt.reason).toContain('cannot be found')
      expect(members.filter((stat) => isAlive(stat))).toEqual([])
    },
  )

  test.runIf(findCgroups('test') !== null)(
    'with a cgroup even a process without a marker is ended; that nothing left the cgroup nobody knows [A-32]',
    async () => {
      await open({ cgroups: true })
      const { spec, members } = await startAll('no-environment')
      await killShim(spec.forkId)
      await events.next('exited', spec.forkId)
      await host.killTree(spec.forkId)
      expect((await events.next('empty', spec.forkId)).receipt.outcome).toBe('unverified')
      expect(members.filter((stat) => isAlive(stat))).toEqual([])
    },
  )

  test('a neighbour that carries no marker is left alone', async () => {
    await open({ cgroups: false })
    const neighbour = spawn('sleep', ['3600'], { stdio: 'ignore' })
    const spec = forkSpec(['sleep', '3600'])
    await start(spec)
    await killShim(spec.forkId)
    await events.next('exited', spec.forkId)
    await host.killTree(spec.forkId)
    await events.next('empty', spec.forkId)
    expect(neighbour.exitCode).toBeNull()
    expect(neighbour.kill('SIGKILL')).toBe(true)
  })

  test('it was killed while the agent was dead: the next agent says the same, and so does the one after', async () => {
    await open({ cgroups: false })
    const spec = forkSpec(['sleep', '3600'])
    await start(spec)
    await host.close()
    await killShim(spec.forkId)
    await until(() => !isAlive(recordOf(spec.forkId).shim!), 'the shim is gone')
    const [first] = await open({ cgroups: false })
    expect(first).toMatchObject({ phase: 'exited', exit: { code: null, signal: null } })
    expect(first!.exit!.unknown).toContain('the shim was killed')
    await host.killTree(spec.forkId)
    const { receipt } = await events.next('empty', spec.forkId)
    await host.close()
    const [second] = await open({ cgroups: false })
    expect(second).toMatchObject({ phase: 'gone', exit: first!.exit, receipt })
  })

  test('before it could write a word: the start is refused, and nothing runs', async () => {
    const stillborn = join(directory, 'stillborn')
    writeFileSync(stillborn, '#!/bin/sh\nmkdir "$1/started"\nkill -KILL $$\n', { mode: 0o755 })
    await open({}, [stillborn])
    const spec = forkSpec(['sleep', '3600'])
    await host.prepare([spec])
    await expect(host.start(spec.forkId, NO_BINDINGS)).rejects.toMatchObject({ code: 'WORKER_CREATE' })
    expect(await host.cancel(spec.forkId)).toBe(true)
    await host.close()
    const [found] = await open()
    expect(found!.phase).toBe('cancelled')
  })
})
