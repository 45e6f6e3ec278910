/** What `validate` says of the Python that a torchrun role gets. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { saveContext } from '../../../src/system/contexts.ts'
import { cli } from '../../support/cli.ts'
import { FLEET, fakeFleet, USER } from '../../support/fake-fleet.ts'

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'troupe-torch-notes-'))
  await contextAt('nats://127.0.0.1:4222')
})
afterEach(() => rm(dir, { recursive: true }))

function contextAt(url: string): Promise<unknown> {
  return saveContext(dir, { name: 'local', url, fleet: FLEET, user: USER, credentials: join(dir, 'none') })
}
const [WITH, WITHOUT] = [0, 41]
/** A `python` that answers the look as one with, or without, torch does. */
async function python(name: string, exit: number): Promise<string> {
  const file = join(dir, name, 'bin/python')
  await mkdir(join(dir, name, 'bin'), { recursive: true })
  await writeFile(file, `#!/bin/sh\nexit ${exit}\n`, { mode: 0o755 })
  return file
}

/** @param path  directory of the environment on the PATH of this shell */
async function validated(
  path: string,
  role: object = {},
): Promise<{ notes: string[]; torchPython: unknown }> {
  const roles = { trainer: { kind: 'torchrun', shape: '1x1', command: ['t.py'], ...role }, side: SIDE }
  const stdin = JSON.stringify({ apiVersion: 'troupe/v1', name: 'job', roles })
  const env = { TROUPE_HOME: dir, TROUPE_CACHE: join(dir, 'cache'), PATH: `${path}/bin:/usr/bin:/bin` }
  const fleet = await fakeFleet()
  const ran = await cli(['validate', '-', '--json'], { troupe: fleet.troupe, cwd: dir, env, stdin })
  await fleet.close()
  expect(ran.code, ran.stderr).toBe(0)
  const { torchPython, ...rest } = JSON.parse(ran.stdout) as { torchPython: unknown }
  expect(rest).toEqual({ ok: true, name: 'job', roles: 2, workers: 2 })
  return { notes: ran.stderr.split('\n').filter((line) => line.startsWith('note: ')), torchPython }
}
const SIDE = { command: ['true'] }

test('the Python on PATH has torch: nothing is said, and --json names it', async () => {
  const mine = await python('mine', WITH)
  expect(await validated(join(dir, 'mine'))).toEqual({ notes: [], torchPython: { trainer: mine } })
})

test('it has none: the one that set-up made is named, and without one that the role cannot start', async () => {
  const mine = await python('mine', WITHOUT)
  expect(await validated(join(dir, 'mine'))).toEqual({
    notes: [`note: role trainer cannot start here: ${mine}, the Python on the PATH of trainer, has no torch`],
    torchPython: { trainer: null },
  })
  const setUp = await python('cache/python/torch-3.11-v1', WITH)
  expect(await validated(join(dir, 'mine'))).toEqual({
    notes: [`note: role trainer: torchrun is run by ${setUp}, which set-up made: ${mine} has no torch`],
    torchPython: { trainer: setUp },
  })
})

test('the document says which Python is meant: that one is looked at', async () => {
  await python('cache/python/torch-3.11-v1', WITH)
  const [mine, none] = [await python('mine', WITH), await python('none', WITHOUT)]
  for (const meant of [
    (name: string) => ({ venv: join(dir, name) }),
    (name: string) => ({ pathPrepend: [join(dir, name, 'bin')] }),
    (name: string) => ({ env: { PATH: `${join(dir, name)}/bin:/usr/bin` } }),
  ]) {
    expect(await validated(join(dir, 'none'), meant('mine'))).toEqual({
      notes: [],
      torchPython: { trainer: mine },
    })
    const { notes, torchPython } = await validated(join(dir, 'mine'), meant('none'))
    expect([notes.length, torchPython]).toEqual([1, { trainer: null }])
    expect(notes[0]).toContain(`${none}, the Python on the PATH of trainer, has no torch`)
  }
})

test('nothing is said where nobody can know: a set-up, a prefix, a template, a fleet elsewhere, no fleet', async () => {
  await python('mine', WITHOUT)
  const known = { notes: [], torchPython: {} }
  const path = join(dir, 'mine')
  expect(await validated(path, { setup: 'module load torch' })).toEqual(known)
  expect(await validated(path, { prefix: ['uv', 'run'] })).toEqual(known)
  expect(await validated(path, { env: { PATH: '/x/${{ node }}' } })).toEqual(known)
  await contextAt('tls://192.0.2.7:4222')
  expect(await validated(path)).toEqual(known)
  await rm(join(dir, 'contexts'), { recursive: true })
  expect(await validated(path)).toEqual(known)
})
