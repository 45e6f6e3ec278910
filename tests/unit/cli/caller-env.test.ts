/** What a launch takes along from the shell and the folder in which it is typed. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { resolveLaunch } from '../../../src/protocol/launch/document.ts'
import { runDocument } from '../../../src/cli/document/run-document.ts'
import { saveContext } from '../../../src/system/contexts.ts'
import { cli } from '../../support/cli.ts'
import { FLEET, fakeFleet, USER, type FakeFleet } from '../../support/fake-fleet.ts'

let fleet: FakeFleet
let dir: string
let env: Record<string, string>
beforeEach(async () => {
  fleet = await fakeFleet()
  dir = await mkdtemp(join(tmpdir(), 'troupe-caller-'))
  env = {
    TROUPE_HOME: dir,
    PATH: '/venv/bin:/bin',
    VIRTUAL_ENV: '/venv',
    SECRET: 's3cret',
    PWD: '/x',
    RANK: '1',
  }
  await contextAt('nats://127.0.0.1:4222')
})
afterEach(async () => {
  await fleet.close()
  await rm(dir, { recursive: true, force: true })
})

function contextAt(url: string): Promise<unknown> {
  return saveContext(dir, { name: 'local', url, fleet: FLEET, user: USER, credentials: join(dir, 'none') })
}
const JOB = 'apiVersion: troupe/v1\nname: job\nroles: { main: { command: ["true"] } }\n'
/** The document that a launch of this line sends. */
async function sent(argv: string[], more: object = {}): Promise<Record<string, unknown>> {
  fleet.asked.length = 0
  const ran = await cli(argv, { troupe: fleet.troupe, cwd: dir, env, stdin: JOB, ...more })
  expect(fleet.asked[0], ran.stderr).toBeDefined()
  return fleet.asked[0]!.body as Record<string, unknown>
}

const PATH_LIKE = { PATH: '/venv/bin:/bin', VIRTUAL_ENV: '/venv' }

test.each([
  ['nats://127.0.0.1:4222', [], PATH_LIKE],
  ['nats://localhost:4222', [], PATH_LIKE],
  ['nats://[::1]:4222', [], PATH_LIKE],
  ['tls://bus.example.org:4222', [], undefined],
  ['tls://192.0.2.7:4222', [], undefined],
  ['nats://127.0.0.1:4222', ['--env-from', 'none'], undefined],
  ['tls://192.0.2.7:4222', ['--env-from', 'path'], PATH_LIKE],
  ['tls://192.0.2.7:4222', ['--env-from', 'all'], { ...PATH_LIKE, RANK: '1', SECRET: 's3cret' }],
])('a bus at %s and %j: workers get of this shell %j', async (url, flags, callerEnv) => {
  await contextAt(url)
  const document = await sent(['launch', '-f', '-', ...flags])
  expect(document['callerEnv']).toEqual(callerEnv)
  // umask and limits come with it
  expect(document['callerShell'] === undefined).toBe(callerEnv === undefined)
})

test('a document that was printed with callerEnv is launched again as it is; validate takes nothing along', async () => {
  const stdin = `${JOB}callerEnv: { PATH: /other }\n`
  expect((await sent(['launch', '-f', '-'], { stdin }))['callerEnv']).toEqual({ PATH: '/other' })
  expect((await cli(['validate', '-'], { cwd: dir, env, stdin: JOB })).code).toBe(0)
})

test('a word that --env-from does not have is refused with those that it has', async () => {
  const ran = await cli(['launch', '-f', '-', '--env-from', 'home'], { troupe: fleet.troupe, cwd: dir, env })
  expect(ran.code).toBe(2)
  expect(ran.stderr).toContain('path, none, all')
})

test('the folder of a file is its default directory, and its relative ones are taken from there; of stdin it is here', async () => {
  const app = join(dir, 'app')
  await mkdir(app)
  await writeFile(join(app, 'plain.yaml'), JOB)
  await writeFile(join(app, 'cwd.yaml'), `${JOB}cwd: data\n`)
  await writeFile(join(app, 'role.yaml'), JOB.replace('command', 'cwd: ../x, command'))
  expect((await sent(['launch', '-f', 'app/plain.yaml']))['cwd']).toBe(app)
  expect((await sent(['launch', '-f', join(app, 'plain.yaml')], { cwd: '/' }))['cwd']).toBe(app)
  expect((await sent(['launch', '-f', 'app/cwd.yaml']))['cwd']).toBe(join(app, 'data'))
  expect((await sent(['launch', '-f', 'app/plain.yaml', '--set', 'cwd=sub']))['cwd']).toBe(join(app, 'sub'))
  expect((await sent(['launch', '-f', 'app/role.yaml']))['roles']).toMatchObject({
    main: { cwd: join(dir, 'x') },
  })
  expect((await sent(['launch', '-f', '-']))['cwd']).toBe(dir)
  const home = await cli(['launch', '-f', 'app/plain.yaml', '--set', 'cwd=~/x'], { cwd: dir, env })
  expect([home.code, home.stderr]).toEqual([2, expect.stringContaining("'~/x': only shells fill in a ~")])
})

test('--env NAME takes NAME from here, as no template; one that is not set here is refused', () => {
  const here = { TOKEN: 'a ${{ port.0 }} = b', EMPTY: '' }
  const envOf = (...settings: string[]): unknown =>
    (runDocument(['true'], { env: settings }, here)['roles'] as { main: { env?: unknown } }).main.env
  expect(envOf('TOKEN', 'EMPTY', 'A=${{ index }}')).toEqual({
    TOKEN: 'a $${{ port.0 }} = b',
    EMPTY: '',
    A: '${{ index }}',
  })
  for (const [setting, message] of [
    ['NOPE', "'NOPE' is not set here"],
    ['=x', "'=x' is no setting"],
    ['', "'' is no setting"],
  ] as const)
    expect(() => envOf(setting), setting).toThrow(
      expect.objectContaining({
        code: 'USAGE',
        message: expect.stringContaining(message) as string,
      }) as Error,
    )
})

test('bytes that are no UTF-8 are refused: --env, the PATH, any argument; U+FFFD that was typed stays', async () => {
  expect(() => runDocument(['x'], { env: ['BAD'] }, { BAD: '\uDCFF' })).toThrow('the value of BAD here')
  const ran = await cli(['launch', '-f', '-'], {
    troupe: fleet.troupe,
    cwd: dir,
    stdin: JOB,
    env: { ...env, PATH: '/caf\uDCE9' },
  })
  expect([ran.code, ran.stderr]).toEqual([2, expect.stringContaining('the value of PATH here') as string])
  for (const argv of [
    ['run', '--', 'a\uDCFFb'],
    ['run', '--env', 'X=a\uDCFFb', '--', 'true'],
    ['launch', '--cwd', 'a\uDCFFb', '--', 'true'],
    ['launch', '-f', '-', '--set', 'roles.job.env.X=a\uDCFFb'],
    ['logs', 'job', '--grep', 'a\uDCFFb'],
  ]) {
    const refused = await cli(argv, { troupe: fleet.troupe, cwd: dir, stdin: JOB, env })
    expect([refused.code, refused.stderr], argv.join(' ')).toEqual([
      2,
      expect.stringMatching(/the argument '.*a\\xffb' holds bytes that are no UTF-8/) as string,
    ])
  }
  const typed = await sent(['launch', '--env-from', 'all', '--env', 'X', '--', 'echo', '\uFFFD'], {
    env: { PATH: '/\uFFFD', TROUPE_HOME: dir, X: '\uFFFD', 'N\uDCFF': '1' },
  })
  expect(typed).toMatchObject({
    callerEnv: { PATH: '/\uFFFD', X: '\uFFFD' },
    roles: { main: { command: ['echo', '\uFFFD'], env: { X: '\uFFFD' } } },
  })
  expect(Object.keys(typed['callerEnv'] as object)).toEqual(['PATH', 'X'])
})

test.each([
  ['a file', ['launch', '-f', 'bytes.yaml'], /'bytes.yaml' .*no UTF-8, in line 3: 'cwd: \/tmp\/b\\xe4h'/],
  ['validate', ['validate', 'bytes.yaml'], /'bytes.yaml' .*no UTF-8, in line 3: 'cwd: \/tmp\/b\\xe4h'/],
])('%s whose text holds bytes that are no UTF-8 is refused with the line', async (_, argv, message) => {
  await writeFile(
    join(dir, 'bytes.yaml'),
    Buffer.from(JOB.replace('\nroles', '\ncwd: /tmp/b\u00e4h\nroles'), 'latin1'),
  )
  const ran = await cli(argv, { troupe: fleet.troupe, cwd: dir, env })
  expect(ran.code).toBe(2)
  expect(ran.stderr).toMatch(message)
})

test('a directory whose name is no UTF-8 is refused where a launch would name it', async () => {
  const cwd = join(dir, 'b\uDCFFh')
  const refused = await cli(['run', '--', 'true'], { troupe: fleet.troupe, cwd, env })
  expect(refused).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/directory '.*b\\xffh' .*no UTF-8/),
  })
  expect((await sent(['launch', '--cwd', '/tmp', '--', 'true'], { cwd }))['cwd']).toBe('/tmp')
})

test('umask and limits of this shell stand in the document as a person would write them, and are resolved as they are', async () => {
  env['TROUPE_NOFILE'] = '20'
  const document = await sent(['launch', '-f', '-'])
  expect(document['callerShell']).toMatchObject({
    umask: process.umask().toString(8).padStart(4, '0'),
    limits: { nofile: 20 },
  })
  expect(resolveLaunch(document).callerShell).toEqual(document['callerShell'])
  const stdin = `${JOB}callerEnv: {}\ncallerShell: { umask: 0027, limits: { core: null } }\n`
  expect((await sent(['launch', '-f', '-'], { stdin }))['callerShell']).toEqual({
    umask: '0027',
    limits: { core: null },
  })
})

test.each([
  { umask: '0x1' },
  { umask: '999' },
  { limits: { files: 3 } },
  { limits: { core: -1 } },
  { nice: 3 },
])('callerShell %j is refused', (callerShell) => {
  const document = { ...runDocument(['true'], {}), cwd: '/', callerShell }
  expect(() => resolveLaunch(document)).toThrow(/callerShell/)
})
