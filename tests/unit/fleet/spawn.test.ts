import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { lastWordsOf, spawnComponent } from '../../../src/fleet/spawn.ts'
import { until } from '../../support/test-server.ts'

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'troupe-test-spawn-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

test('a component has a session of its own, its log as output, nothing as input, and tells how it ended', async () => {
  const log = join(dir, 'logs/component.log')
  const component = spawnComponent(
    ['/bin/sh', '-c', 'cut -d" " -f6 /proc/self/stat; readlink /proc/$$/fd/0; echo oops >&2; exit 3'],
    process.env,
    log,
  )
  await until('it has ended', () => component.ended() !== null)
  expect(component.ended()).toBe('exit 3')
  expect((await readFile(log, 'utf8')).trim().split('\n')).toEqual([
    String(component.pid),
    '/dev/null',
    'oops',
  ])
  expect(lastWordsOf(log)).toBe(`${component.pid} | /dev/null | oops`)
})

test('a log above its bound is set aside at the next start', async () => {
  const log = join(dir, 'component.log')
  await writeFile(log, Buffer.alloc(9 * 1024 * 1024, 'x'))
  const component = spawnComponent(['/bin/echo', 'new'], process.env, log)
  await until('it has ended', () => component.ended() !== null)
  expect(await readFile(log, 'utf8')).toBe('new\n')
  expect((await readdir(dir)).toSorted()).toEqual(['component.log', 'component.log.1'])
})

test('a program that is not there: SETUP that names it', () => {
  expect(() => spawnComponent(['/none/troupe', 'agent'], process.env, join(dir, 'log'))).toThrow(
    /\/none\/troupe agent/,
  )
})
