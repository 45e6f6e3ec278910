import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { cliReference } from '../../../src/cli/frame/reference.ts'
import { COMMANDS } from '../../../src/cli/frame/commands.ts'
import { saveContext, writeCredentials } from '../../../src/system/contexts.ts'
import { cli } from '../../support/cli.ts'
import { ownHome, type OwnHome } from '../../support/own-home.ts'
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

const CREDS = `-----BEGIN NATS USER JWT-----
ey.J.x
------END NATS USER JWT------

************************* IMPORTANT *************************
The seed below signs in as you: keep it secret.

-----BEGIN USER NKEY SEED-----
SUABC
------END USER NKEY SEED------

*************************************************************
`

async function withContext(): Promise<{ TROUPE_HOME: string; XDG_CONFIG_HOME: string }> {
  const home = join(dir, 'home')
  await writeCredentials(join(home, 'client.json'), {
    nkeySeed: 'SUABC',
    inboxPrefix: '_INBOX_ann',
    jwt: 'ey.J.x',
    ca: 'PEM',
  })
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

test('context export --nats writes one for the nats command line, the secret in a file of its own that only we read', async () => {
  const env = await withContext()
  const ran = await cli(['context', 'export', '--nats'], { env })
  const written = JSON.parse(
    await readFile(join(env.XDG_CONFIG_HOME, 'nats/context', `${ran.stdout.trim()}.json`), 'utf8'),
  )
  expect(written).toMatchObject({ url: 'nats://127.0.0.1:4222', inbox_prefix: '_INBOX_ann' })
  expect(written.nkey ?? written.user_jwt).toBeUndefined()
  expect(await readFile(written.creds, 'utf8')).toBe(CREDS)
  expect((await stat(written.creds)).mode & 0o777).toBe(0o600)
})

test('context export --creds is the standard file; what it does not hold is said, as lines for three clients', async () => {
  const env = await withContext()
  const { code, stdout, stderr } = await cli(['context', 'export', '--creds'], { env })
  expect([code, stdout]).toEqual([0, CREDS])
  for (const word of ['inbox prefix: _INBOX_ann', 'nats-py: ', 'nats.js: ', 'nats --server ', `authority: `])
    expect(stderr).toContain(word)
  const ca = join(env.TROUPE_HOME, 'nats/local.ca.pem')
  expect(stderr).toContain(`--tlsca '${ca}'`)
  expect(await readFile(ca, 'utf8')).toBe('PEM')
})

test('an export is refused to a terminal, over a file that is there, and of a credential without a JWT', async () => {
  const env = await withContext()
  for (const flags of [[], ['--creds']]) {
    const again = ['troupe context export', ...flags].join(' ')
    expect(await cli(['context', 'export', ...flags], { env, tty: true })).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining(`write: ${again} -o FILE`),
    })
  }
  const taken = join(env.TROUPE_HOME, 'client.json')
  const before = await readFile(taken, 'utf8')
  expect((await cli(['context', 'export', '-o', taken], { env })).code).toBe(1)
  expect(await readFile(taken, 'utf8')).toBe(before)
  await writeCredentials(taken, { nkeySeed: 'SUABC', inboxPrefix: '_INBOX_ann' })
  for (const flags of [[], ['--creds'], ['--nats']])
    expect(await cli(['context', 'export', ...flags], { env })).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining('without a JWT'),
    })
  expect((await cli(['context', 'export', '--creds', '--nats'], { env })).code).toBe(2)
})

describe('a context by file', () => {
  let own: OwnHome
  let file: string
  let env: { TROUPE_HOME: string }
  beforeEach(async () => {
    own = await ownHome()
    file = (await cli(['context', 'export'], { env: own.env })).stdout
    env = { TROUPE_HOME: join(dir, 'elsewhere') }
  })
  afterEach(() => rm(own.home, { recursive: true, force: true }))
  const add = (args: string[] = []) => cli(['context', 'add', '-', ...args], { env, stdin: file })
  const named = async (name: string) =>
    JSON.parse((await cli(['context', 'show', name, '--json'], { env })).stdout)

  test('the first is taken into use, a second waits to be chosen; removing says which are left', async () => {
    expect((await add()).stderr).toContain('next: troupe ps')
    expect((await add(['--name', 'lab'])).stderr).toContain('next: troupe context use lab')
    expect(await named('lab')).toMatchObject({ name: 'lab', fleet: 'main', user: own.owner })
    const { credentials } = await named('main')
    const removed = await cli(['context', 'remove', 'main'], { env })
    expect(removed).toMatchObject({ code: 0, stderr: expect.stringContaining('troupe context use lab') })
    await expect(readFile(credentials)).rejects.toMatchObject({ code: 'ENOENT' })
    expect((await cli(['context', 'list', '-q'], { env })).stdout).toBe('lab\n')
    expect((await cli(['context', 'show'], { env })).code).toBe(4)
    expect((await cli(['context', 'remove', 'lab'], { env })).stderr).toContain('troupe up')
  })

  test('a name that is there, one that cannot be and that of the own fleet are refused; nothing is lost', async () => {
    await add()
    const before = await named('main')
    const secret = await readFile(before.credentials, 'utf8')
    file = (await cli(['user', 'add', 'bob'], { env: own.env })).stdout
    expect(await add()).toMatchObject({ code: 1, stderr: expect.stringContaining('--replace') })
    for (const name of ['local', '../x', 'a b', ''])
      expect(await add(['--name', name, '--replace'])).toMatchObject({ code: 2 })
    expect([await named('main'), await readFile(before.credentials, 'utf8')]).toEqual([before, secret])
    expect((await add(['--replace'])).code).toBe(0)
    expect(await named('main')).toMatchObject({ user: 'bob' })
  })

  test('a file that is bad, open to others or not there: nothing is made', async () => {
    const open = join(dir, 'open.json')
    await writeFile(open, file, { mode: 0o640 })
    expect(await cli(['context', 'add', open], { env })).toMatchObject({
      code: 5,
      stderr: expect.stringContaining(`chmod 600 ${open}`),
    })
    expect(await cli(['context', 'add', join(dir, 'none')], { env })).toMatchObject({ code: 2 })
    expect(await cli(['context', 'add', '-'], { env, stdin: file.slice(0, 100) })).toMatchObject({ code: 2 })
    expect(await readdir(dir)).toEqual(['open.json'])
  })

  test('the context of a fleet here is removed without its keys', async () => {
    const { credentials } = JSON.parse((await cli(['context', 'show', '--json'], { env: own.env })).stdout)
    expect((await cli(['context', 'remove', 'local'], { env: own.env })).code).toBe(0)
    expect(await readFile(credentials, 'utf8')).toContain('nkeySeed')
  })
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
  expect(await complete('nodes', '')).toEqual(['invite', 'revoke', 'adopt', 'drain'])
  expect(await complete('context', 'use', '')).toEqual(['local'])
  expect(await complete('context', 'remove', 'l')).toEqual(['local'])
  expect(await complete('user', '')).toEqual(['add', 'list', 'revoke'])
  expect(await complete('user', 'add', 'bob', '--role', '')).toEqual(['client', 'observer'])
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
