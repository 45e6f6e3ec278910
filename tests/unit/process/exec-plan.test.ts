/** What a start is refused for before anything runs. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { planExec } from '../../../src/process/exec-plan.ts'
import type { ForkSpec } from '../../../src/protocol/launch/resolved.ts'
import { bindingsOf, forkSpec, preparedFork } from '../../support/fork-spec.ts'

let dir: string
beforeEach(async () => void (dir = await mkdtemp(join(tmpdir(), 'troupe-plan-'))))
afterEach(() => rm(dir, { recursive: true }))

function plan(changes: Partial<ForkSpec>) {
  return planExec({
    spec: forkSpec({ cwd: dir, ...changes }),
    prepared: preparedFork(),
    bindings: bindingsOf(),
    forkDir: join(dir, 'fork'),
    node: 'n0',
    agentEnv: { PATH: '/bin' },
    cacheDir: '/cache',
    nodeCores: 2,
    workersOnNode: 1,
    shim: ['/shim'],
  })
}

test('a venv is taken from the working directory; one that is none is refused by its path', async () => {
  await expect(plan({ venv: '.venv' })).rejects.toMatchObject({
    code: 'WORKER_CONFIG',
    message: expect.stringContaining(join(dir, '.venv')) as string,
  })
  await writeFile(join(dir, 'file'), '')
  await expect(plan({ venv: 'file' })).rejects.toThrow('is no virtual environment')
  await mkdir(join(dir, '.venv/bin'), { recursive: true })
  await writeFile(join(dir, '.venv/bin/python'), '')
  expect((await plan({ venv: '.venv' })).env).toMatchObject({ PATH: `${join(dir, '.venv/bin')}:/bin` })
})
