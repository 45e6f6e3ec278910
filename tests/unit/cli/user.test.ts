import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readIssued, writeIssued } from '../../../src/fleet/issued.ts'
import { readOperator } from '../../../src/fleet/keys.ts'
import { userClaimsOf } from '../../../src/transport/nats/jwt-claims.ts'
import { cli } from '../../support/cli.ts'
import { ownHome, type OwnHome } from '../../support/own-home.ts'

const HOUR = 3_600_000

let own: OwnHome
beforeEach(async () => void (own = await ownHome()))
afterEach(() => rm(own.home, { recursive: true, force: true }))

function user(args: string[], options: { tty?: boolean } = {}) {
  return cli(['user', ...args], { env: own.env, cwd: own.home, ...options })
}

/** All files below a directory, with what is in them. */
async function contentOf(dir: string): Promise<Record<string, string>> {
  const names = await readdir(dir, { recursive: true, withFileTypes: true })
  const files = names.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  return Object.fromEntries(
    await Promise.all(files.map(async (file) => [file, await readFile(file, 'utf8')])),
  )
}

test('a credential is one file that another home takes: its role, name, end and place are in it', async () => {
  const added = await user(['add', 'bob', '--role', 'observer', '--expires', '12h'])
  expect([added.code, added.stderr]).toEqual([0, expect.stringContaining('troupe context add FILE')])
  const file = JSON.parse(added.stdout)
  expect(file).toMatchObject({ role: 'observer', user: 'bob', fleet: 'main', url: 'nats://127.0.0.1:4222' })
  const claims = userClaimsOf(file.credentials.jwt)!
  expect(claims.name).toBe('bob')
  expect(Math.abs(claims.expires! - (Date.now() + 12 * HOUR))).toBeLessThan(60_000)

  const env = { TROUPE_HOME: join(own.home, 'elsewhere') }
  expect(await cli(['context', 'add', '-', '-q'], { env, stdin: added.stdout })).toMatchObject({
    code: 0,
    stdout: 'main\n',
  })
  const { stdout } = await cli(['context', 'show', '--json'], { env })
  const context = JSON.parse(stdout)
  expect(context).toMatchObject({ name: 'main', user: 'bob', url: 'nats://127.0.0.1:4222' })
  expect(JSON.parse(await readFile(context.credentials, 'utf8'))).toEqual(file.credentials)
  expect((await stat(context.credentials)).mode & 0o777).toBe(0o600)
})

test('without words a credential is a client’s and ends after 90 days', async () => {
  await user(['add', 'bob'])
  const [bob] = JSON.parse((await user(['list', '--json'])).stdout)
  expect(bob).toMatchObject({ name: 'bob', role: 'client', state: 'live', revokedAt: null })
  expect(bob.expires - bob.issuedAt).toBe(90 * 24 * HOUR)
  expect((await user(['list'])).stdout).toMatch(/bob +client +\d\.\d s ago +ends in (89d23h|90d00h) +U/)
})

test('a terminal gets no secret, and nobody was added; a file of its own is new and 0600', async () => {
  expect(await user(['add', 'bob'], { tty: true })).toMatchObject({
    code: 2,
    stdout: '',
    stderr: expect.stringContaining('write: troupe user add bob -o FILE'),
  })
  expect(await readIssued(own.layout)).toEqual([])
  const added = await user(['add', 'bob', '-o', 'bob.json', '--json'], { tty: true })
  expect(JSON.parse(added.stdout)).toMatchObject({ name: 'bob', file: 'bob.json' })
  expect(added.stdout).not.toContain('SU')
  const file = join(own.home, 'bob.json')
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  const before = await readFile(file, 'utf8')
  expect(await user(['add', 'carl', '-o', 'bob.json'])).toMatchObject({ code: 1, stdout: '' })
  expect(await readFile(file, 'utf8')).toBe(before)
})

test('a file that cannot be written: nobody was added, and with --replace the old credential lives', async () => {
  await user(['add', 'bob'])
  const before = await contentOf(own.layout.keys)
  await mkdir(join(own.home, 'open'))
  await chmod(join(own.home, 'open'), 0o777)
  await writeFile(join(own.home, 'plain'), '')
  for (const place of ['plain/bob.json', '/proc/bob.json', 'open/bob.json'])
    for (const [name, ...more] of [['carl'], ['bob', '--replace']])
      expect((await user(['add', name!, ...more, '-o', place])).code).not.toBe(0)
  expect(await contentOf(own.layout.keys)).toEqual(before)
})

test('a name has one credential: another is refused with the next step, --replace ends the first', async () => {
  await user(['add', 'bob'])
  const [first] = await readIssued(own.layout)
  const again = await user(['add', 'bob', '--role', 'observer'])
  expect(again).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('--replace') })
  const replaced = await user(['add', 'bob', '--role', 'observer', '--replace'])
  expect(replaced).toMatchObject({ code: 0, stderr: expect.stringContaining('is revoked') })
  const [old, fresh] = await readIssued(own.layout)
  expect([old!.key, old!.revokedAt === null]).toEqual([first!.key, false])
  expect(fresh).toMatchObject({ name: 'bob', role: 'observer', revokedAt: null })
  expect(Object.keys((await readOperator(own.layout))!.tenants['main']!.revoked)).toEqual([first!.key])
})

test.each([
  ['a b', [], 'a-b'],
  ['*', [], 'x'],
  ['bob', ['--expires', '0'], '12h'],
  ['bob', ['--expires', '367d'], '366 days'],
  ['bob', ['--role', 'coordinator'], 'client'],
])('%s %j is refused with what to write, and nothing is made', async (name, flags, hint) => {
  const before = await contentOf(own.home)
  expect(await user(['add', name, ...flags])).toMatchObject({
    code: 2,
    stdout: '',
    stderr: expect.stringContaining(hint),
  })
  expect(await contentOf(own.home)).toEqual(before)
})

test('a revocation while the bus is down is kept until nobody could come any more, and says that it waits', async () => {
  await user(['add', 'bob', '--expires', '12h'])
  const [bob] = await readIssued(own.layout)
  const revoked = await user(['revoke', 'bob', '--json'])
  expect(JSON.parse(revoked.stdout)).toEqual([{ name: 'bob', role: 'client', key: bob!.key, told: false }])
  expect((await user(['revoke', 'bob'])).stderr).toContain('It reads it when it starts')
  const { revoked: kept } = (await readOperator(own.layout))!.tenants['main']!
  expect(kept[bob!.key]).toBeGreaterThan(bob!.expires / 1000)
  expect(JSON.parse((await user(['list', '--json'])).stdout)[0]).toMatchObject({ state: 'revoked' })
})

test('revocations of credentials that ended long ago are dropped, and so are their lines in the list', async () => {
  await user(['add', 'bob', '--expires', '12h'])
  await user(['revoke', 'bob'])
  const [bob] = await readIssued(own.layout)
  const past = Date.now() - 60 * 24 * HOUR
  await writeIssued(own.layout, [{ ...bob!, expires: past }], past)
  const file = join(own.layout.keys, 'operator.json')
  const operator = JSON.parse(await readFile(file, 'utf8'))
  operator.tenants.main.revoked[bob!.key] = Math.floor(past / 1000)
  await writeFile(file, JSON.stringify(operator))
  await user(['add', 'carl'])
  await user(['revoke', 'carl'])
  const [carl, ...more] = await readIssued(own.layout)
  expect([carl!.name, more]).toEqual(['carl', []])
  expect(Object.keys((await readOperator(own.layout))!.tenants['main']!.revoked)).toEqual([carl!.key])
})

test('revoking one that is not there, the owner, or a key of this home is refused with the reason', async () => {
  await user(['add', 'bob'])
  expect(await user(['revoke', 'bo'])).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('there are: bob'),
  })
  expect(await user(['revoke', own.owner])).toMatchObject({
    code: 5,
    stderr: expect.stringContaining('is the owner of the fleet'),
  })
  const client = JSON.parse(await readFile(join(own.layout.keys, 'client.json'), 'utf8'))
  expect(await user(['revoke', userClaimsOf(client.jwt)!.publicKey])).toMatchObject({ code: 5 })
  expect((await readOperator(own.layout))!.tenants['main']!.revoked).toEqual({})
})

test('a credential that is in no list is revoked by its public key', async () => {
  const key = `U${'A'.repeat(55)}`
  expect(JSON.parse((await user(['revoke', key, '--json'])).stdout)).toEqual([
    { name: null, role: null, key, told: false },
  ])
})

test('without the operator’s key: somebody can be added, and nobody revoked; it says who can', async () => {
  await user(['add', 'bob'])
  await rm(join(own.layout.keys, 'operator.json'))
  expect((await user(['add', 'carl'])).code).toBe(0)
  for (const args of [
    ['revoke', 'bob'],
    ['add', 'bob', '--replace'],
  ])
    expect(await user(args)).toMatchObject({
      code: 5,
      stdout: '',
      stderr: expect.stringContaining('whoever runs the bus can'),
    })
  expect((await readIssued(own.layout)).every(({ revokedAt }) => revokedAt === null)).toBe(true)
})

test('the context of another fleet of the same name: nothing of this home is handed out for it', async () => {
  const other = await ownHome()
  try {
    const file = (await cli(['user', 'add', 'bob'], { env: other.env })).stdout
    await cli(['context', 'add', '-', '--name', 'lab', '--use'], { env: own.env, stdin: file })
    for (const args of [['add', 'carl'], ['list'], ['revoke', 'carl']])
      expect(await user(args)).toMatchObject({
        code: 5,
        stdout: '',
        stderr: expect.stringContaining('--context local'),
      })
    expect((await user(['add', 'carl', '--context', 'local'])).code).toBe(0)
  } finally {
    await rm(other.home, { recursive: true, force: true })
  }
})

test('a damaged list is named, and stays as it is', async () => {
  await user(['add', 'bob'])
  const file = join(own.layout.keys, 'users.json')
  for (const damaged of ['{ "issued": [', 'null', '{}']) {
    await writeFile(file, damaged)
    for (const args of [['add', 'carl'], ['list'], ['revoke', 'bob']])
      expect(await user(args)).toMatchObject({
        code: 1,
        stderr: expect.stringContaining(`'${file}' is damaged`),
      })
    expect(await readFile(file, 'utf8')).toBe(damaged)
  }
})
