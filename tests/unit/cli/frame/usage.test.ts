import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { COMMANDS } from '../../../../src/cli/frame/commands.ts'
import { cli } from '../../../support/cli.ts'

let dir: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'troupe-cli-'))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

test.each([
  ['an unknown verb', ['stauts'], "did you mean 'status'"],
  ['an unknown flag', ['ps', '--al'], "did you mean '--all'"],
  ['a flag before the verb', ['--jsn', 'ps'], '--jsn'],
  ['a missing argument', ['status'], "'run'"],
  ['nothing at all', [], 'troupe --help'],
  ['a word too many', ['ps', 'x', 'y'], 'argument'],
  ['a wrong point', ['wait', 'x', '--for', 'redy'], 'running, ready, done'],
  ['a wrong time', ['wait', 'x', '--timeout', '30'], '90s'],
  ['a wrong number', ['logs', 'x', '--rank', 'one'], 'whole number'],
  ['a wrong since', ['logs', 'x', '--since', 'yesterday'], 'a date such as'],
  ['run with nothing', ['run'], 'run what?'],
  ['run with a file and a command', ['run', '-f', 'x.yaml', '--', 'true'], 'cannot both be run'],
  ['run -f with flags of run -- CMD', ['run', '-f', 'x.yaml', '--nodes', '2'], '--nodes'],
  ['--env without a value', ['run', '--env', 'X', '--', 'true'], "'X'"],
  ['--shape and --nodes', ['run', '--shape', '2x2', '--nodes', '2', '--', 'train.py'], '--nodes 2'],
  ['a signal that is none', ['signal', 'x', 'FOO'], "'FOO'"],
  ['a shell without completion', ['completion', 'basch'], "did you mean 'bash'"],
  ['launch without a file', ['launch'], 'launch -f FILE'],
  ['a file that is not there', ['launch', '-f', '/nonexistent.yaml'], "'/nonexistent.yaml'"],
])(
  '%s: exit 2, the offending word or what to write said, stdout empty [R-17 FC-24]',
  async (_, argv, words) => {
    const ran = await cli(argv)
    expect({ code: ran.code, stdout: ran.stdout }).toEqual({ code: 2, stdout: '' })
    expect(ran.stderr).toContain(words)
    expect(ran.stderr).not.toMatch(/^\s+at /m)
    if (argv.length === 0) return
    const asJson = await cli([argv[0]!, '--json', ...argv.slice(1)])
    expect({ code: asJson.code, stdout: asJson.stdout, fault: JSON.parse(asJson.stderr) }).toMatchObject({
      code: 2,
      stdout: '',
      fault: { code: expect.stringMatching(/USAGE|SPEC_INVALID/), message: expect.any(String) },
    })
  },
)

test('no fleet: exit 4 and what to type, on every command that needs one', async () => {
  for (const argv of [
    ['ps'],
    ['status', 'x'],
    ['logs', 'x'],
    ['events'],
    ['explain', 'x'],
    ['wait', 'x'],
    ['stop', 'x'],
    ['kill', 'x'],
    ['signal', 'x', 'TERM'],
    ['nodes'],
    ['run', '--', 'true'],
  ]) {
    const ran = await cli(argv, { cwd: dir })
    expect({ argv, code: ran.code, stdout: ran.stdout }).toEqual({ argv, code: 4, stdout: '' })
    expect(ran.stderr).toContain('troupe up')
  }
})

test('with --json a failure is one JSON line on stderr, in the form of the protocol [R-17 FC-23]', async () => {
  const ran = await cli(['ps', '--json'])
  expect(ran.stdout).toBe('')
  expect(JSON.parse(ran.stderr)).toMatchObject({
    code: 'CONN',
    retryable: true,
    hint: expect.stringContaining('troupe up'),
  })
})

test('a document with faults: every issue with its line and the nearest word, exit 2 [A-36 R-17]', async () => {
  const file = join(dir, 'bad.yaml')
  await writeFile(
    file,
    'apiVersion: troupe/v1\nname: bad\nroles:\n  main:\n    kind: task\n    comand: [x]\n    replcas: 2\n',
  )
  const ran = await cli(['validate', file])
  expect({ code: ran.code, stdout: ran.stdout }).toEqual({ code: 2, stdout: '' })
  expect(ran.stderr).toContain('bad.yaml')
  expect(ran.stderr).toMatch(/comand.*line 6.*did you mean 'command'/)
  expect(ran.stderr).toMatch(/replcas.*line 7.*did you mean 'replicas'/)
})

test('validate says ok, needs no fleet, and takes --set', async () => {
  const file = join(dir, 'good.yaml')
  await writeFile(
    file,
    'apiVersion: troupe/v1\nname: good\nroles:\n  main:\n    kind: task\n    command: [x]\n',
  )
  expect(await cli(['validate', file, '--set', 'roles.main.replicas=3'])).toEqual({
    code: 0,
    stdout: 'ok: good, 1 role, 3 workers\n',
    stderr: '',
  })
  expect(JSON.parse((await cli(['validate', file, '--json'])).stdout)).toEqual({
    ok: true,
    name: 'good',
    roles: 1,
    workers: 1,
    torchPython: {},
  })
})

test.each([
  ['launch', 'job.yaml'],
  ['launch', './job.json'],
  ['run', 'job.yml'],
])('a launch document that is given as a program, %s %s: how it is launched', async (verb, file) => {
  expect(await cli([verb, file])).toEqual({
    code: 2,
    stdout: '',
    stderr: `troupe: '${file}' is a launch document, and no program (USAGE)\n  troupe launch -f ${file}\n`,
  })
})

test('--dry-run without a fleet prints the resolved document and says that nodes are unknown [K-02]', async () => {
  const text =
    'apiVersion: troupe/v1\nname: dry\nroles:\n  main:\n    kind: task\n    command: [x]\n    resources: { memory: 16GB }\n'
  const ran = await cli(['launch', '-f', '-', '--dry-run'], { stdin: text })
  expect(ran.code).toBe(0)
  expect(ran.stdout).toContain('memoryBytes: 16000000000')
  expect(ran.stderr).toContain('nodes are unknown')
  expect(
    JSON.parse((await cli(['launch', '-f', '-', '--dry-run', '--json'], { stdin: text })).stdout).launch
      .roles[0].resources.memoryBytes,
  ).toBe(16e9)
})

test('help of every command is on stdout, exit 0, and its summary is the one of the list', async () => {
  for (const [name, { summary, load }] of Object.entries(COMMANDS)) {
    const { command } = await load()
    expect({ name, summary }).toEqual({ name: command.name, summary: command.summary })
    if (name.startsWith('_')) continue
    const ran = await cli([name, '--help'])
    expect({ name, code: ran.code, stderr: ran.stderr }).toEqual({ name, code: 0, stderr: '' })
    expect(ran.stdout).toContain(`Usage: troupe ${name}`)
  }
})

test('--version and --help are data; `help VERB` is its help', async () => {
  expect((await cli(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+/)
  expect((await cli(['--help'])).stdout).toContain('Usage: troupe COMMAND')
  expect((await cli(['help', 'ps'])).stdout).toContain('Usage: troupe ps')
})
