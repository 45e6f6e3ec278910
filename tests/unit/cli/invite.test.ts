/** Credentials for nodes of other machines, as they are made and as they are read; no server is asked. */
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { ensureKey, ensureOperator, keyFile } from '../../../src/fleet/keys.ts'
import { layoutOf, type FleetLayout } from '../../../src/fleet/layout.ts'
import { readNodeCredential } from '../../../src/fleet/node-credential.ts'
import { saveContext } from '../../../src/system/contexts.ts'
import { userClaimsOf } from '../../../src/transport/nats/jwt-claims.ts'
import { cli } from '../../support/cli.ts'

let top: string
let dir: string
let env: { TROUPE_HOME: string; TROUPE_LOCAL: string }
beforeAll(async () => {
  top = await mkdtemp(join(tmpdir(), 'troupe-invite-'))
  env = { TROUPE_HOME: join(top, 'home'), TROUPE_LOCAL: join(top, 'local') }
  await makeHome(env)
})
afterAll(() => rm(top, { recursive: true, force: true }))
beforeEach(async () => {
  dir = await mkdtemp(join(top, 'test-'))
})

/** The keys and the context that `up` makes. */
async function makeHome(
  { TROUPE_HOME: home, TROUPE_LOCAL: local }: typeof env,
  url = 'tls://10.0.0.5:4222',
): Promise<FleetLayout> {
  const layout = layoutOf(home, local, 'main')
  await ensureOperator(layout)
  await ensureKey(layout, { role: 'client' }, 'ann')
  await ensureKey(layout, { role: 'agent', node: 'n0' }, 'ann')
  const credentials = keyFile(layout, { role: 'client' })
  await saveContext(home, { name: 'local', url, fleet: 'main', user: 'ann', credentials })
  return layout
}
function invite(...args: string[]) {
  return cli(['nodes', 'invite', ...args], { env })
}
async function save(text: string, mode = 0o600): Promise<string> {
  const file = join(dir, 'gpu0.json')
  await writeFile(file, text)
  await chmod(file, mode)
  return file
}
function agent(file: string) {
  return cli(['agent', '--credential', file], { env: { ...env, TROUPE_LOCAL: join(dir, 'there') } })
}

describe('a node is invited', () => {
  test('stdout is one JSON file with all that its agent needs; stderr says until when, and what happens then', async () => {
    const { code, stdout, stderr } = await invite('gpu0')
    const credential = JSON.parse(stdout)
    expect({ code, credential }).toEqual({
      code: 0,
      credential: {
        apiVersion: 'troupe/v1',
        kind: 'credential',
        role: 'agent',
        url: 'tls://10.0.0.5:4222',
        fleet: 'main',
        fleetId: expect.stringMatching(/^[a-z0-9]{16}$/),
        node: 'gpu0',
        user: 'ann',
        credentials: {
          nkeySeed: expect.stringMatching(/^SU/),
          inboxPrefix: '_INBOX.agent-gpu0',
          jwt: expect.stringMatching(/^eyJ/),
        },
        expires: expect.any(String),
      },
    })
    const { name, expires } = userClaimsOf(credential.credentials.jwt)!
    expect([name, expires]).toEqual(['gpu0', Date.parse(credential.expires)])
    expect(expires! - Date.now()).toBeGreaterThan(12 * 3600_000 - 60_000)
    expect(expires! - Date.now()).toBeLessThanOrEqual(12 * 3600_000)
    expect(stderr).toContain('(12h, as nothing else was said: --expires 30d)')
    expect(stderr).toContain('the workers run on; a newer file at the same path is taken without a restart')
    expect(stderr).toContain('next, on the other machine: troupe agent --credential FILE')
    expect(stderr).not.toContain('warning')
  })

  test('the fleet has one id, whatever is minted', async () => {
    const ids = await Promise.all(
      ['gpu0', 'gpu1'].map(async (name) => JSON.parse((await invite(name)).stdout).fleetId),
    )
    expect(new Set(ids).size).toBe(1)
  })

  test('--expires is taken: it is in the file and in the JWT', async () => {
    const { stdout } = await invite('gpu0', '--expires', '30d')
    const { expires } = JSON.parse(stdout)
    expect(Date.parse(expires) - Date.now()).toBeGreaterThan(29.9 * 86_400_000)
  })

  test.each([['0'], ['250ms'], ['12'], ['2000d'], ['soon'], ['-1h']])(
    '--expires %s is refused, and nothing is printed',
    async (time) => {
      expect(await invite('gpu0', `--expires=${time}`)).toMatchObject({ code: 2, stdout: '' })
    },
  )

  test('-o writes a file of our own alone, several names a file each into a directory, and says which', async () => {
    const file = join(dir, 'keys/gpu0.json')
    expect((await invite('gpu0', '-o', file)).stdout).toBe(`${file}\n`)
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    const many = await invite('gpu1', 'gpu2', '-o', join(dir, 'many'), '--json')
    expect(JSON.parse(many.stdout)).toEqual(
      ['gpu1', 'gpu2'].map((node) => ({
        node,
        file: join(dir, 'many', `${node}.json`),
        expires: expect.any(Number),
      })),
    )
    expect((await readNodeCredential(join(dir, 'many/gpu2.json'))).node).toBe('gpu2')
  })

  test.each([
    ['a terminal', ['gpu0'], true, 2, 'troupe nodes invite gpu0 > gpu0.json'],
    ['several without a directory', ['gpu0', 'gpu1'], false, 2, 'troupe nodes invite gpu0 gpu1 -o DIRECTORY'],
    ['a wildcard', ['*'], false, 2, "'*' is no name of a node"],
    ['a dot', ['gpu.0'], false, 2, "'gpu.0' is no name of a node"],
    ['an empty name', [''], false, 2, "'' is no name of a node"],
    ['a path', ['../x'], false, 2, 'is no name of a node'],
    ['41 characters', ['x'.repeat(41)], false, 2, 'is no name of a node'],
    ['a node of this home', ['n0'], false, 2, "'n0' is a node of this home"],
  ])('%s is refused, with what to type', async (_, names, tty, code, words) => {
    const ran = await cli(['nodes', 'invite', ...names], { env, tty })
    expect(ran).toMatchObject({ code, stdout: '' })
    expect(ran.stderr).toContain(words)
  })

  test('a wrong name among several writes none', async () => {
    await mkdir(join(dir, 'many'))
    expect((await invite('gpu1', 'g*', '-o', join(dir, 'many'))).code).toBe(2)
    expect(await readdir(join(dir, 'many'))).toEqual([])
  })

  test('without the keys of the fleet, or with those of another fleet of that name, nothing is minted', async () => {
    const [ours, other] = ['ours', 'other'].map((name) => ({ ...env, TROUPE_HOME: join(dir, name) }))
    await makeHome(ours!)
    const layout = await makeHome(other!)
    const invite = (name: string) => cli(['nodes', 'invite', name], { env: ours! })
    await saveContext(ours!.TROUPE_HOME, {
      name: 'theirs',
      url: 'tls://10.0.0.6:4222',
      fleet: 'main',
      user: 'ann',
      credentials: keyFile(layout, { role: 'client' }),
    })
    const foreign = await invite('gpu0')
    expect(foreign).toMatchObject({ code: 5, stdout: '' })
    expect(foreign.stderr).toContain("at tls://10.0.0.6:4222 (context 'theirs') are not here")
    await rm(join(ours!.TROUPE_HOME, 'keys'), { recursive: true })
    const none = await invite('gpu0')
    expect(none).toMatchObject({ code: 5, stdout: '' })
    expect(none.stderr).toContain('its owner has them')
  })

  test.each([
    ['nats://127.0.0.1:4222', true],
    ['nats://[::1]:4222', true],
    ['tls://localhost:4222', true],
    ['tls://10.0.0.5:4222,tls://127.0.0.1:4222', false],
  ])('a bus at %s: that others cannot reach it is said: %s', async (url, said) => {
    const home = { ...env, TROUPE_HOME: join(dir, 'home') }
    await makeHome(home, url)
    const { stderr } = await cli(['nodes', 'invite', 'gpu0', '-q'], { env: home })
    expect(stderr.includes('troupe up --listen ADDR')).toBe(said)
  })
})

describe('a credential file that is none', () => {
  const good = async (...args: string[]): Promise<Record<string, any>> =>
    JSON.parse((await invite('gpu0', ...args)).stdout)

  test.each<[string, () => unknown, number, string]>([
    ['an empty file', () => '', 2, 'it is empty'],
    ['half of one', async () => JSON.stringify(await good()).slice(0, 200), 2, 'it is no JSON'],
    ['a list', () => '[]', 2, 'is no credential file'],
    [
      'a context’s credential',
      () => readFile(join(env.TROUPE_HOME, 'keys/main/client.json')),
      2,
      'does not say where the bus is',
    ],
    [
      'a later form',
      async () => JSON.stringify({ ...(await good()), apiVersion: 'troupe/v2' }),
      2,
      'its form is troupe/v2, and this version reads troupe/v1',
    ],
    [
      'a tenant’s',
      async () => JSON.stringify({ ...(await good()), kind: 'tenant', role: undefined }),
      2,
      'troupe up --bus FILE',
    ],
    [
      'a person’s',
      async () => JSON.stringify({ ...(await good()), role: 'client', user: 'gpu0' }),
      2,
      'troupe nodes invite',
    ],
    ['one without a url', async () => JSON.stringify({ ...(await good()), url: undefined }), 2, 'url: '],
    [
      'one with a path as id',
      async () => JSON.stringify({ ...(await good()), fleetId: '../../etc' }),
      2,
      'fleetId: no id of a fleet',
    ],
    [
      'one for another node than its JWT’s',
      async () => JSON.stringify({ ...(await good()), node: 'gpu1' }),
      5,
      "says 'gpu1', and its JWT is of 'gpu0'",
    ],
    [
      'one whose JWT is cut off',
      async () => {
        const file: Record<string, any> = await good()
        return JSON.stringify({ ...file, credentials: { ...file.credentials, jwt: 'eyJ' } })
      },
      2,
      'its JWT is damaged',
    ],
  ])('%s is named as that, and nothing is made', async (_, make, code, words) => {
    const ran = await agent(await save(String(await make())))
    expect(ran).toMatchObject({ code, stdout: '' })
    expect(ran.stderr).toContain(words)
    expect(await readdir(dir)).toEqual(['gpu0.json'])
  })

  test('one that others can read is refused with the line to type', async () => {
    const ran = await agent(await save(JSON.stringify(await good()), 0o640))
    expect(ran).toMatchObject({ code: 5, stdout: '' })
    expect(ran.stderr).toContain(`chmod 600 ${dir}/gpu0.json`)
  })

  test('one that has expired says when, and who makes a new one', async () => {
    const file = await save(JSON.stringify(await good('--expires', '1s')))
    const { expires } = JSON.parse(await readFile(file, 'utf8'))
    await expect.poll(() => Date.now() > Date.parse(expires), { timeout: 5000 }).toBe(true)
    const ran = await agent(file)
    expect(ran).toMatchObject({ code: 5, stdout: '' })
    expect(ran.stderr).toContain(`ended at ${expires.slice(0, 10)} ${expires.slice(11, 19)} UTC`)
    expect(ran.stderr).toContain('troupe nodes invite gpu0')
  })

  test.each([
    ['a file that is not there', ['agent', '--credential', 'none.json'], 'none.json'],
    ['a directory', ['agent', '--credential', '/'], 'is no plain file'],
    ['neither node nor file', ['agent'], 'which node?'],
    ['both', ['agent', '--node', 'a', '--credential', 'b'], 'exclude each other'],
    ['a context beside it', ['agent', '--credential', 'b', '--context', 'c'], 'exclude each other'],
    ['--local without it', ['agent', '--node', 'a', '--local', '/x'], '--local goes with --credential'],
  ])('%s is wrong usage', async (_, argv, words) => {
    const ran = await cli(argv, { env, cwd: dir })
    expect(ran).toMatchObject({ code: 2, stdout: '' })
    expect(ran.stderr).toContain(words)
  })
})
