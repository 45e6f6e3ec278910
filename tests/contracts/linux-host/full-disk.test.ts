/** The disk under the spool is full. */
import { spawn } from 'node:child_process'
import { readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { fileOf, forkDirOf } from '../../../src/process/spool.ts'
import { processesOf, removeDirectory, sweepProcesses, temporaryDirectory } from '../../support/linux-host.ts'
import { events, host, misbehave, open, putSpool, spoolDir, start } from '../../support/linux-host-suite.ts'
import { forkSpec, NO_BINDINGS } from '../../support/spec.ts'

describe('the disk under the spool is full', () => {
  /** a 2 MB tmpfs of a mount namespace, reached through /proc: no root needed */
  const smallDisk = async () => {
    const mountPoint = temporaryDirectory()
    const keeper = spawn(
      'unshare',
      [
        ...(process.getuid!() === 0 ? [] : ['--user', '--map-root-user']),
        '--mount',
        'sh',
        '-c',
        `mount -t tmpfs -o size=2m tmpfs ${mountPoint} && echo mounted && exec sleep 3600`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    await new Promise((resolve, reject) => {
      keeper.stdout.once('data', resolve)
      keeper.once('exit', () => reject(new Error('no mount namespace can be made here')))
    })
    return {
      path: `/proc/${keeper.pid}/root${mountPoint}`,
      end() {
        keeper.kill('SIGKILL')
        removeDirectory(mountPoint)
      },
    }
  }
  let disk: Awaited<ReturnType<typeof smallDisk>>
  beforeEach(async () => {
    disk = await smallDisk()
    putSpool(join(disk.path, 'spool'))
  })
  afterEach(async () => {
    await host.close()
    sweepProcesses(spoolDir)
    disk.end()
  })

  test('a worker that fills it gets ENOSPC, and its exit is still recorded, told and recovered', async () => {
    await open()
    const spec = forkSpec(misbehave('fill-disk'))
    await host.prepare([spec])
    expect(statSync(fileOf.record(forkDirOf(spoolDir, spec.forkId))).size).toBe(512)
    await host.start(spec.forkId, NO_BINDINGS)
    expect((await events.next('exited', spec.forkId)).exit).toMatchObject({ code: 28, signal: null })
    expect((await events.next('empty', spec.forkId)).receipt.outcome).toBe('gone')
    expect(() => writeFileSync(join(spoolDir, 'more'), 'x'.repeat(65_536))).toThrow('ENOSPC')
    await host.close()
    const [found] = await open()
    expect(found).toMatchObject({ phase: 'gone', exit: { code: 28 } })
  })

  test('prepare and start are refused with SPOOL, nothing is left of them, and what runs goes on', async () => {
    await open()
    const [runs, prepared] = [
      forkSpec(['sleep', '3600'], { n: 0 }),
      forkSpec(['true'], { n: 1, env: { LARGE: 'x'.repeat(100_000) } }),
    ]
    await start(runs)
    await host.prepare([prepared])
    const filler = forkSpec(misbehave('fill-disk'), { n: 2 })
    await start(filler)
    await events.next('empty', filler.forkId)
    await expect(host.prepare([forkSpec(['true'], { n: 3 })])).rejects.toMatchObject({
      code: 'SPOOL',
      retryable: true,
    })
    expect(readdirSync(join(spoolDir, 'forks'))).not.toContain(forkSpec([], { n: 3 }).forkId)
    await expect(host.start(prepared.forkId, NO_BINDINGS)).rejects.toMatchObject({ code: 'SPOOL' })
    expect(await host.cancel(prepared.forkId)).toBe(true)
    expect(processesOf(spoolDir, runs.forkId)).toHaveLength(1)
    await host.killTree(runs.forkId)
    expect((await events.next('exited', runs.forkId)).exit.signal).toBe('SIGKILL')
    await events.next('empty', runs.forkId)
  })
})
