/** What stands in the spool: names that are refused, logs that are kept and let go. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { events, host, logOf, open, spoolDir, start } from '../../support/linux-host-suite.ts'
import { forkSpec, NO_BINDINGS } from '../../support/spec.ts'

test('more forks end than logs are kept of: each release lets the oldest go, also of those that an earlier agent released [A-33]', async () => {
  await open({ logRetainedForksMax: 3 })
  const released = async (n: number): Promise<void> => {
    const spec = forkSpec(['true'], { n })
    await start(spec)
    await events.next('empty', spec.forkId)
    await host.release(spec.forkId)
  }
  const kept = (): string[] =>
    readdirSync(join(spoolDir, 'logs'))
      .map((forkId) => forkId.split('.')[2]!)
      .toSorted()
  for (let n = 0; n < 5; n++) await released(n)
  expect(kept()).toEqual(['2', '3', '4'])
  await host.close()
  await open({ logRetainedForksMax: 3 })
  await released(5)
  expect(kept()).toEqual(['3', '4', '5'])
})

test('after release the logs are still there, and are swept when they are older than the retention', async () => {
  let now = Date.now()
  await open({ logRetentionMs: 1000, clockWall: () => now })
  const spec = forkSpec(['echo', 'kept'])
  await start(spec)
  await events.next('empty', spec.forkId)
  await host.release(spec.forkId)
  expect(logOf(spec.forkId, 'stdout')).toBe('kept\n')
  expect(readdirSync(join(spoolDir, 'forks'))).toEqual([])
  await host.close()
  now += 10_000
  await open({ logRetentionMs: 1000, clockWall: () => now })
  expect(readdirSync(join(spoolDir, 'logs'))).toEqual([])
})

test('a working directory that is not there is refused by name, and the fork can be dropped', async () => {
  await open()
  const spec = forkSpec(['true'], { cwd: '/no/such/place' })
  await host.prepare([spec])
  await expect(host.start(spec.forkId, NO_BINDINGS)).rejects.toMatchObject({
    code: 'WORKER_CONFIG',
    message: expect.stringContaining('/no/such/place'),
  })
  await host.drop(spec.forkId)
  expect(readdirSync(join(spoolDir, 'forks'))).toEqual([])
})

test('a fork id that is a path is refused: nothing is written outside of the spool', async () => {
  await open()
  await expect(host.cancel('../../escaped')).rejects.toMatchObject({ code: 'REQUEST_INVALID' })
  await expect(host.prepare([{ ...forkSpec(['true']), forkId: '../../escaped' }])).rejects.toMatchObject({
    code: 'REQUEST_INVALID',
  })
})
