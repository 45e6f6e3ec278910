/** Which Python runs torch, of small ones that say whether they have it. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { ForkSpec } from '../../../src/protocol/launch/resolved.ts'
import { torchOfAgent, torchPython } from '../../../src/process/torch-python.ts'
import { forkSpec } from '../../support/fork-spec.ts'

let dir: string
beforeEach(async () => void (dir = await mkdtemp(join(tmpdir(), 'troupe-torch-'))))
afterEach(() => rm(dir, { recursive: true }))

/** A `python` that answers the look as one with, or without, torch does. @returns its directory */
async function python(name: string, exit: number): Promise<string> {
  const bin = join(dir, name, 'bin')
  await mkdir(bin, { recursive: true })
  await writeFile(join(bin, 'python'), `#!/bin/sh\nexit ${exit}\n`, { mode: 0o755 })
  return bin
}
const [WITH, WITHOUT] = [0, 41]
function find(path: string, changes: Partial<ForkSpec> = {}): Promise<string | null> {
  return torchPython({
    spec: forkSpec({ kind: 'torchrun', ...changes }),
    env: { PATH: `${path}:/usr/bin:/bin` },
    cwd: dir,
    agentEnv: { TROUPE_CACHE: join(dir, 'cache') },
  })
}

test('the Python on PATH that has torch is taken, also where set-up has made another', async () => {
  await python('cache/python/torch-3.11-v1', WITH)
  const bin = await python('mine', WITH)
  expect(await find(bin)).toBe(join(bin, 'python'))
})

test('a Python on PATH without torch: that of set-up serves, the newest', async () => {
  await python('cache/python/torch-3.9-v1', WITH)
  const setUp = await python('cache/python/torch-3.11-v1', WITH)
  expect(await find(await python('mine', WITHOUT))).toBe(join(setUp, 'python'))
})

test('no Python has torch: said as that, with the path', async () => {
  const bin = await python('mine', WITHOUT)
  await expect(find(bin)).rejects.toMatchObject({
    code: 'WORKER_CONFIG',
    message: expect.stringContaining(
      `${join(bin, 'python')}, the Python on the PATH of trainer, has no torch`,
    ) as string,
  })
})

test.each([
  ['a PATH of the document', { env: { PATH: '/x' } }],
  ['a venv', { venv: '/x' }],
  ['pathPrepend', { pathPrepend: ['/x'] }],
])('%s says which Python is meant: no other serves, and both paths are told', async (_, changes) => {
  await python('cache/python/torch-3.11-v1', WITH)
  const [bin, callers] = [await python('mine', WITHOUT), await python('callers', WITH)]
  await expect(find(bin, { ...changes, callerEnv: { PATH: callers } })).rejects.toMatchObject({
    data: { python: join(bin, 'python'), callers: join(callers, 'python') },
    message: expect.stringContaining(`${join(callers, 'python')}, has it`) as string,
  })
})

test.each([
  ['a venv', (bin: string) => ({ venv: join(bin, '..') })],
  ['pathPrepend', (bin: string) => ({ pathPrepend: ['/nowhere', bin] })],
])(
  '%s has a Python and no torchrun, and another one stands behind it: the one that was named',
  async (_, changes) => {
    const [mine, behind, none] = [await python('mine', WITH), await python('behind', WITH), join(dir, 'none')]
    await writeFile(join(behind, 'torchrun'), `#!${join(behind, 'python')}\n`, { mode: 0o755 })
    const named = changes(mine)
    const front = 'venv' in named ? mine : `/nowhere:${mine}`
    expect(await find(`${front}:${behind}`, named)).toBe(join(mine, 'python'))
    // what has no Python says nothing of it
    expect(await find(`${none}:${behind}`, { pathPrepend: [none] })).toBe(join(behind, 'python'))
    expect(await find(`${mine}:${behind}`)).toBe(join(behind, 'python'))
  },
)

test('the Python of torchrun is gone: said as that, with both paths, and no other serves', async () => {
  await python('cache/python/torch-3.11-v1', WITH)
  const [bin, callers] = [await python('mine', WITH), await python('callers', WITH)]
  await writeFile(join(bin, 'torchrun'), '#!/moved/bin/python3\n', { mode: 0o755 })
  await expect(find(bin, { callerEnv: { PATH: callers } })).rejects.toMatchObject({
    code: 'WORKER_CONFIG',
    data: { python: '/moved/bin/python3', callers: join(callers, 'python') },
    message:
      `${join(bin, 'torchrun')} on the PATH of trainer is of /moved/bin/python3, which is not there; ` +
      `that of the shell that launched, ${join(callers, 'python')}, has it`,
  })
  expect(await torchOfAgent({ TROUPE_CACHE: join(dir, 'none'), PATH: bin }, dir)).toEqual({
    python: null,
    without: '/moved/bin/python3',
  })
})

test('a Python that cannot be asked is taken: it says itself what is wrong', async () => {
  const bin = await python('broken', 3)
  expect(await find(bin)).toBe(join(bin, 'python'))
})

test('set-up and prefix decide before anybody can look', async () => {
  const bin = await python('mine', WITHOUT)
  expect(await find(bin, { setup: 'true' })).toBeNull()
  expect(await find(bin, { prefix: ['env'] })).toBeNull()
})

test('`up` tells which Python runs a role that names none, and which one lacks torch', async () => {
  const env = { TROUPE_CACHE: join(dir, 'cache') }
  const [mine, other] = [await python('mine', WITHOUT), await python('other', WITH)]
  const without = join(mine, 'python')
  expect(await torchOfAgent({ ...env, PATH: other }, dir)).toEqual({
    python: join(other, 'python'),
    without: null,
  })
  expect(await torchOfAgent({ ...env, PATH: mine }, dir)).toEqual({ python: null, without })
  expect(await torchOfAgent({ ...env, PATH: dir }, dir)).toEqual({ python: null, without: 'python3' })
  const setUp = join(await python('cache/python/torch-3.11-v1', WITH), 'python')
  expect(await torchOfAgent({ ...env, PATH: mine }, dir)).toEqual({ python: setUp, without })
})
