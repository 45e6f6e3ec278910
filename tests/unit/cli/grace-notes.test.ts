/** What `validate` and `launch --dry-run` say of a grace that torchrun will cut. */
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { saveContext } from '../../../src/system/contexts.ts'
import { cli } from '../../support/cli.ts'
import { FLEET, fakeFleet, USER } from '../../support/fake-fleet.ts'

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'troupe-grace-'))
  await contextAt('nats://127.0.0.1:4222')
})
afterEach(() => rm(dir, { recursive: true }))

function contextAt(url: string): Promise<unknown> {
  return saveContext(dir, { name: 'local', url, fleet: FLEET, user: USER, credentials: join(dir, 'none') })
}
/** An environment with a `python`, and with that torch. @returns its directory */
async function environment(name: string, version: string | null, launcher = ''): Promise<string> {
  const [bin, torch] = [join(dir, name, 'bin'), join(dir, name, 'lib/python3.11/site-packages/torch')]
  await mkdir(bin, { recursive: true })
  await writeFile(join(bin, 'python'), '#!/bin/sh\n', { mode: 0o755 })
  await mkdir(join(dir, name, 'lib/python3.11'), { recursive: true })
  if (version !== null) await torchIn(torch, version, launcher)
  return join(dir, name)
}
async function torchIn(torch: string, version: string, launcher = ''): Promise<void> {
  await mkdir(join(torch, 'distributed/launcher'), { recursive: true })
  await writeFile(join(torch, 'version.py'), `debug = False\n__version__ = '${version}+cpu'\n`)
  await writeFile(join(torch, 'distributed/launcher/api.py'), launcher)
}
const NEW = 'os.environ.get("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "30")'
const LONG = { stop: { grace: '60s' } }

/** @param path  of the caller */
async function notes(
  role: object,
  path: string,
  argv = ['validate', '-'],
  more: Record<string, string> = {},
): Promise<string[]> {
  const trainer = { kind: 'torchrun', shape: '1x1', command: ['train.py'], ...role }
  const stdin = JSON.stringify({ apiVersion: 'troupe/v1', name: 'job', roles: { trainer } })
  const env = {
    TROUPE_HOME: dir,
    TROUPE_CACHE: join(dir, 'cache'),
    PATH: `${path}/bin:/usr/bin:/bin`,
    ...more,
  }
  const fleet = await fakeFleet()
  const ran = await cli(argv, { troupe: fleet.troupe, cwd: dir, env, stdin })
  await fleet.close()
  expect(ran.code, ran.stderr).toBe(0)
  return ran.stderr.split('\n').filter((line) => line.startsWith('note: '))
}
function tooOld(python: string): string {
  return (
    `note: role trainer: torch 2.11.0 of ${python}/bin/python kills its ranks 30 s after a stop, before the 60 s of ` +
    'stop.grace are over; torch 2.12 and later wait for them'
  )
}

test('a torch that does not read the time it is given, and a grace above its 30 s: said, with the version and the Python', async () => {
  const old = await environment('old', '2.11.0')
  expect(await notes(LONG, old)).toEqual([tooOld(old)])
  expect(await notes({ stop: { signal: ['INT 20s', 'TERM 40s'] } }, old)).toEqual([tooOld(old)])
  expect(await notes(LONG, old, ['launch', '-f', '-', '--dry-run'])).toEqual([tooOld(old)])
})

test('a newer torch, and a grace that any torch keeps: nothing is said', async () => {
  expect(await notes(LONG, await environment('new', '2.12.0', NEW))).toEqual([])
  const old = await environment('old', '2.11.0')
  expect(await notes({ stop: { grace: '30s' } }, old)).toEqual([])
  expect(await notes({ stop: { signal: ['INT 10s', 'TERM 20s'] } }, old)).toEqual([])
  expect(await notes({}, old)).toEqual([])
})

test('another Python is meant, by venv, pathPrepend or env: that one is looked at', async () => {
  const [old, modern] = [await environment('old', '2.11.0'), await environment('new', '2.12.0', NEW)]
  for (const meant of [
    (of: string) => ({ venv: of }),
    (of: string) => ({ pathPrepend: [`${of}/bin`] }),
    (of: string) => ({ env: { PATH: `${of}/bin:/usr/bin` } }),
  ]) {
    expect(await notes({ ...LONG, ...meant(old) }, modern)).toEqual([tooOld(old)])
    expect(await notes({ ...LONG, ...meant(modern) }, old)).toEqual([])
  }
})

test('the Python of the caller has no torch, or is a link to one that has: what its files tell', async () => {
  const [none, old] = [await environment('none', null), await environment('old', '2.11.0')]
  expect(await notes(LONG, none)).toEqual([])
  await rm(join(none, 'bin/python'))
  await symlink(join(old, 'bin/python'), join(none, 'bin/python'))
  expect(await notes(LONG, none)).toEqual([tooOld(none)])
})

test('the Python on PATH has no torch: that of set-up is looked at, unless the document says which is meant', async () => {
  const none = await environment('none', null)
  const made = await environment('cache/python/torch-3.11-v1', '2.11.0')
  expect(await notes(LONG, none)).toEqual([tooOld(made)])
  expect(await notes({ ...LONG, venv: none }, none)).toEqual([])
  expect(await notes(LONG, await environment('new', '2.12.0', NEW))).toEqual([])
  const given = await environment('given', '2.11.0')
  const TROUPE_PYTHON = `${given}/bin/python`
  expect(await notes(LONG, none, ['validate', '-'], { TROUPE_PYTHON })).toEqual([tooOld(given)])
})

test.each([
  ['PYTHONPATH of the role', 'packages', true],
  ['PYTHONPATH of the caller', 'packages', true],
  ['the packages of the user', '.local/lib/python3.11/site-packages', false],
  ['those that PYTHONUSERBASE names', 'base/lib/python3.11/site-packages', false],
])('torch stands in %s: it is found there', async (place, packages, inVirtual) => {
  const none = await environment('none', null)
  const PYTHONPATH = join(dir, packages)
  await torchIn(join(PYTHONPATH, 'torch'), '2.11.0')
  const role = place.endsWith('role') ? { ...LONG, env: { PYTHONPATH } } : LONG
  const caller: Record<string, string> = {
    HOME: dir,
    ...(place.endsWith('caller') && { PYTHONPATH }),
    ...(place.startsWith('those') && { PYTHONUSERBASE: join(dir, 'base') }),
  }
  const said = (): Promise<string[]> => notes(role, none, ['validate', '-'], caller)
  expect(await said()).toEqual([tooOld(none)])
  await writeFile(join(none, 'pyvenv.cfg'), 'home = /usr/bin\ninclude-system-site-packages = false\n')
  expect(await said()).toEqual(inVirtual ? [tooOld(none)] : [])
  await writeFile(join(none, 'pyvenv.cfg'), 'include-system-site-packages = true\n')
  expect(await said()).toEqual([tooOld(none)])
})

test('nothing is said where nobody can know: a set-up, a prefix, a template, a fleet elsewhere, no fleet', async () => {
  const old = await environment('old', '2.11.0')
  expect(await notes({ ...LONG, setup: 'module load torch' }, old)).toEqual([])
  expect(await notes({ ...LONG, prefix: ['uv', 'run'] }, old)).toEqual([])
  expect(await notes({ ...LONG, env: { PATH: '/x/${{ node }}' } }, old)).toEqual([])
  expect(await notes(LONG, old)).toEqual([tooOld(old)])
  await contextAt('tls://192.0.2.7:4222')
  expect(await notes(LONG, old)).toEqual([])
  await contextAt('nats://127.0.0.1:4222')
  await rm(join(dir, 'contexts'), { recursive: true })
  expect(await notes(LONG, old)).toEqual([])
})

test.each([
  [['torchrun', 'train.py'], {}, '30'],
  [['torchrun', '--shutdown-timeout', '5', 'train.py'], {}, '5'],
  [['/x/bin/torchrun', '--nnodes=1', '--shutdown_timeout=59', 'train.py'], {}, '59'],
  [['python', '-m', 'torch.distributed.run', '--shutdown-timeout', '5', '-m', 'train'], {}, '5'],
  [['torchrun', 'train.py', '--shutdown-timeout', '90'], {}, '30'],
  [['torchrun', 'train.py'], { TORCH_ELASTIC_SHUTDOWN_TIMEOUT: '20' }, '20'],
  [['exec torchrun --shutdown-timeout 5 train.py'], {}, '5'],
])('a task whose command is %j with %j, and a grace of 60 s: it has %s s', async (command, env, seconds) => {
  const shell = command.length === 1
  expect(await notes({ kind: 'task', shape: undefined, command, env, shell, ...LONG }, '/none')).toEqual([
    `note: role trainer: torchrun in its command kills its ranks ${seconds} s after a stop, before the 60 s of ` +
      'stop.grace are over; write --shutdown-timeout 70 (torch 2.12 and later)',
  ])
})

test.each([
  [['torchrun', '--shutdown-timeout', '60', 'train.py'], {}],
  [['torchrun', 'train.py'], { TORCH_ELASTIC_SHUTDOWN_TIMEOUT: '${{ port.0 }}' }],
  [['python', 'torchrun_report.py'], {}],
])('a task whose command is %j with %j: nothing is said', async (command, env) => {
  const role = { kind: 'task', shape: undefined, command, env, resources: { ports: 1 }, ...LONG }
  expect(await notes(role, '/none')).toEqual([])
})
