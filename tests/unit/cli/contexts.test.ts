import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { cliReference } from '../../../src/cli/frame/reference.ts'
import { COMMANDS } from '../../../src/cli/frame/commands.ts'
import { saveContext, writeCredentials } from '../../../src/system/contexts.ts'
import { cli } from '../../support/cli.ts'
import { fakeFleet, RUN, runStatus, type FakeFleet } from '../../support/fake-fleet.ts'

let fleet: FakeFleet
let dir: string
beforeEach(async () => {
  fleet = await fakeFleet()
  dir = await mkdtemp(join(tmpdir(), 'troupe-cli-'))
})
afterEach(async () => {
  await fleet.close()
  await rm(dir, { recursive: true, force: true })
})

async function withContext(): Promise<{ TROUPE_HOME: string; XDG_CONFIG_HOME: string }> {
  const home = join(dir, 'home')
  await writeCredentials(join(home, 'client.json'), { nkeySeed: 'SUABC', inboxPrefix: '_INBOX_ann' })
  await saveContext(home, {
    name: 'local',
    url: 'nats://127.0.0.1:4222',
    fleet: 'main',
    user: 'ann',
    credentials: join(home, 'client.json'),
  })
  return { TROUPE_HOME: home, XDG_CONFIG_HOME: join(dir, 'config') }
}

test('contexts are listed, shown and chosen; one that is not there names the others', async () => {
  const env = await withContext()
  expect(JSON.parse((await cli(['context', 'show', '--json'], { env })).stdout)).toMatchObject({
    name: 'local',
    fleet: 'main',
    user: 'ann',
    url: 'nats://127.0.0.1:4222',
    credentials: join(env.TROUPE_HOME, 'client.json'),
  })
  expect((await cli(['context', 'list', '-q'], { env })).stdout).toBe('local\n')
  expect(await cli(['context', 'use', 'locl'], { env })).toMatchObject({
    code: 4,
    stdout: '',
    stderr: expect.stringContaining("did you mean 'local'"),
  })
})

test('context export --nats writes one for the nats command line, the seed in a file of its own that only we read', async () => {
  const env = await withContext()
  const ran = await cli(['context', 'export', '--nats'], { env })
  const written = JSON.parse(
    await readFile(join(env.XDG_CONFIG_HOME, 'nats/context', `${ran.stdout.trim()}.json`), 'utf8'),
  )
  expect(written).toMatchObject({ url: 'nats://127.0.0.1:4222', inbox_prefix: '_INBOX_ann' })
  expect(await readFile(written.nkey, 'utf8')).toBe('SUABC\n')
  expect((await stat(written.nkey)).mode & 0o777).toBe(0o600)
})

test('reading contexts where there is no home makes nothing [+U5]', async () => {
  const env = { TROUPE_HOME: join(dir, 'nowhere') }
  for (const argv of [
    ['context', 'show'],
    ['context', 'list'],
  ])
    expect(await cli(argv, { env })).toMatchObject({
      code: 4,
      stdout: '',
      stderr: expect.stringContaining('troupe up'),
    })
  expect(await readdir(dir)).toEqual([])
})

async function complete(...words: string[]): Promise<string[]> {
  return (
    await cli(['__complete', '--', ...words], { troupe: fleet.troupe, cwd: dir, env: await withContext() })
  ).stdout
    .split('\n')
    .filter((line) => line !== '')
}

test('completion knows verbs, flags, values, runs, workers, signals and contexts', async () => {
  fleet.statuses.set(RUN, runStatus())
  expect(await complete('st')).toEqual(['status', 'stop'])
  expect(await complete('logs', '--st')).toEqual(['--stream'])
  expect(await complete('wait', 'x', '--for', 'r')).toEqual(['running', 'ready'])
  expect(await complete('status', 'jo')).toEqual([RUN])
  expect(await complete('kill', `${RUN}/`)).toEqual([`${RUN}/main`, `${RUN}/main/0`])
  expect(await complete('signal', RUN, 'US')).toEqual(['USR1', 'USR2'])
  expect(await complete('nodes', '')).toEqual(['adopt', 'drain'])
  expect(await complete('context', 'use', '')).toEqual(['local'])
  expect(await complete('nosuch', '')).toEqual([])
})

test('completion without a fleet says nothing and does not fail', async () => {
  expect(
    await cli(['__complete', '--', 'status', ''], { env: { TROUPE_HOME: join(dir, 'nowhere') } }),
  ).toEqual({ code: 0, stdout: '', stderr: '' })
})

test('the reference has every command and its flags', async () => {
  const { path, text } = await cliReference()
  expect(path).toBe('docs/reference/cli.md')
  for (const name of Object.keys(COMMANDS).filter((word) => !word.startsWith('_')))
    expect(text).toContain(`## troupe ${name}\n`)
  expect(text).toContain('`--shape <shape>`')
  expect(text).toContain('### troupe nodes drain')
  expect(text).not.toContain('__complete')
})
