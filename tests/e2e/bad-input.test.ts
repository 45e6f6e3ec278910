import { spawn } from 'node:child_process'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { root, run, startFleet, task, TROUPE, type Fleet } from '../support/fleet.ts'

let fleet: Fleet
let dir: string
beforeAll(async () => {
  fleet = await startFleet()
  dir = await mkdtemp(join(tmpdir(), 'troupe-test-doc-'))
})
afterAll(async () => {
  await rm(dir, { recursive: true, force: true })
  await fleet.end()
})

async function launch(text: string, args: string[] = []) {
  const before = await fleet.json(['ps', '--all'])
  const ran = await fleet.troupe(['launch', '-f', '-', ...args], { input: text })
  const after = await fleet.json(['ps', '--all'])
  return { ...ran, leftRuns: after.length - before.length }
}

function yaml(role: string, top = ''): string {
  return `apiVersion: troupe/v1\nname: bad\n${top}roles:\n  main:\n    kind: task\n    command: [sleep, "60"]\n${role}`
}

test.each([
  ['an unknown key', yaml('    comand: [x]\n'), ['comand', 'command', 'line 7']],
  ['a key of a later version', yaml('    colocate: { with: x }\n'), ['not in this version: colocate']],
  ['a backend of a later version', yaml('', 'backend: slurm\n'), ['not in this version: slurm']],
  ['a wrong unit', yaml('    resources: { memory: 16XB }\n'), ['16XB', 'GB']],
  ['a wrong time', yaml('', 'deadlines: { run: 3 parsecs }\n'), ['3 parsecs', '1h30m']],
  ['a wrong apiVersion', yaml('').replace('troupe/v1', 'troupe/v9'), ['troupe/v9', 'troupe/v1']],
  [
    'a cycle',
    yaml(
      '    dependsOn: { b: { condition: ready } }\n  b:\n    kind: task\n    command: [x]\n    dependsOn: { main: { condition: ready } }\n',
    ),
    ['main', 'b', '->'],
  ],
  ['a role name that is no token', yaml('').replace('  main:', '  a/b:'), ['a/b']],
  ['more cores than any node has', yaml('    resources: { cpus: 4000 }\n'), ['4000']],
  ['more GPUs than any node has', yaml('    resources: { gpus: 64 }\n'), ['64']],
  [
    'neither one nor N resources',
    yaml('    replicas: 3\n    resources: [{ cpus: 1 }, { cpus: 1 }]\n'),
    ['2', '3'],
  ],
  [
    'a port that is not leased',
    yaml('    resources: { ports: 1 }\n').replace('"60"', '"${{ port.3 }}"'),
    ['port.3', '1'],
  ],
  ['no YAML', 'a: [unclosed', ['line']],
  ['10 MB', `name: ${'x'.repeat(10_000_000)}`, ['10000006', '1048576']],
  ['nested deeply', `a: ${'['.repeat(3000)}${']'.repeat(3000)}`, ['deep']],
  ['empty', '', ['empty']],
])(
  'a document with %s is refused with exit 2, in words that help, and leaves no run [A-18 A-36 R-17 FC-24]',
  async (_, text, words) => {
    const ran = await launch(text)
    expect({ code: ran.code, stdout: ran.stdout, leftRuns: ran.leftRuns }).toEqual({
      code: 2,
      stdout: '',
      leftRuns: 0,
    })
    for (const word of words) expect(ran.stderr).toContain(word)
    expect(ran.stderr).not.toMatch(/^\s+at .*\.(mjs|js|ts)/m)
  },
)

test('--dry-run shows the resolved document and the plan, and launches nothing [K-02 A-36]', async () => {
  const ran = await launch(yaml('    resources: { memory: 1GB }\n'), ['--dry-run', '--json'])
  expect(ran.code).toBe(0)
  expect(ran.leftRuns).toBe(0)
  expect(JSON.stringify(JSON.parse(ran.stdout))).toContain('1000000000')
})

test.each([
  ['an unknown run', ['status', 'nosuchrun'], 3, 'nosuchrun'],
  ['an unknown verb', ['stauts'], 2, 'status'],
  ['an unknown flag', ['ps', '--al'], 2, '--all'],
  ['a missing argument', ['status'], 2, 'run'],
  ['a file that is not there', ['launch', '-f', '/nonexistent.yaml'], 2, '/nonexistent.yaml'],
])('%s: the right code, stdout empty, the offending word said [R-17 FC-24]', async (_, args, code, word) => {
  const ran = await fleet.troupe(args)
  expect({ code: ran.code, stdout: ran.stdout }).toEqual({ code, stdout: '' })
  expect(ran.stderr).toContain(word)
})

test('an ambiguous prefix names the runs it could be [R-17]', async () => {
  for (const name of ['twin-a', 'twin-b'])
    await fleet.troupe(['launch', '-f', '-'], { input: task(name, ['true']) })
  const ran = await fleet.troupe(['status', 'twin'])
  expect(ran.code).toBe(2)
  expect(ran.stderr).toContain('twin-a')
  expect(ran.stderr).toContain('twin-b')
})

test('no context: exit 4, what to type, and nothing is created [R-17 +U5]', async () => {
  const home = join(dir, 'not-there')
  for (const args of [['ps'], ['status', 'x'], ['logs', 'x'], ['nodes'], ['context', 'list']]) {
    const ran = await fleet.troupe(args, { env: { TROUPE_HOME: home } })
    if (args[0] !== 'context') {
      expect({ args, code: ran.code, stdout: ran.stdout }).toEqual({ args, code: 4, stdout: '' })
      expect(ran.stderr).toContain('troupe up')
    }
  }
  expect((await readdir(dir)).includes('not-there')).toBe(false)
})

test('a bus that is not there: exit 4 and what to type', async () => {
  const home = join(dir, 'dead')
  const context = await fleet.json(['context', 'show'])
  await run('mkdir', ['-p', join(home, 'contexts')])
  await writeFile(
    join(home, 'contexts/local.json'),
    JSON.stringify({ ...context, url: 'nats://127.0.0.1:1' }),
  )
  await writeFile(join(home, 'current'), 'local\n')
  const ran = await fleet.troupe(['ps'], { env: { TROUPE_HOME: home } })
  expect({ code: ran.code, stdout: ran.stdout }).toEqual({ code: 4, stdout: '' })
  expect(ran.stderr).toContain('127.0.0.1:1')
})

test('stdin closed and output piped to head end quietly [K-25 +K1]', async () => {
  const launched = await fleet.troupe(['launch', '-q', '-f', '-'], {
    input: task('chatty', ['sh', '-c', 'yes troupe | head -n 200000']),
  })
  await fleet.troupe(['wait', launched.stdout.trim()])
  const piped = await run(
    'bash',
    [
      '-c',
      `set -o pipefail; "${TROUPE}" logs ${launched.stdout.trim()} | head -n 3; echo "codes \${PIPESTATUS[*]}"`,
    ],
    { env: fleet.env },
  )
  expect(piped.stdout).toMatch(/codes (0|141) 0/)
  expect(piped.stderr).toBe('')
  const closed = await run('bash', ['-c', `"${TROUPE}" ps <&-`], { env: fleet.env })
  expect(closed.code).toBe(0)
})

test('a command that is not found: 127 with its name, and its peers do not stay [FC-1 FC-24]', async () => {
  const document = JSON.stringify({
    apiVersion: 'troupe/v1',
    name: 'notfound',
    roles: {
      a: { kind: 'task', command: ['no-such-program-here'] },
      b: { kind: 'service', command: ['sleep', '600'] },
    },
  })
  const launched = await fleet.troupe(['launch', '-q', '-f', '-'], { input: document })
  const waited = await fleet.troupe(['wait', launched.stdout.trim(), '--timeout', '30s'])
  expect(waited.code).toBe(127)
  const status = await fleet.json(['status', launched.stdout.trim()])
  expect(JSON.stringify(status)).toContain('no-such-program-here')
  for (const worker of status.workers) expect(worker.receipt?.outcome).toBe('gone')
})

test('$(troupe launch -q) is exactly the id, and every command’s --json parses [FC-23 K-25 +K1]', async () => {
  const id = (await launch(task('pure', ['true']), ['-q'])).stdout
  expect(id).toMatch(/^pure-[0-9a-f]{12}\n$/)
  const ref = id.trim()
  await fleet.troupe(['wait', ref])
  for (const args of [
    ['ps'],
    ['ps', '--all'],
    ['status', ref],
    ['explain', ref],
    ['nodes'],
    ['wait', ref],
    ['stop', ref],
    ['kill', ref],
    ['context', 'show'],
    ['context', 'list'],
  ]) {
    const ran = await fleet.troupe([...args, '--json'])
    expect({
      args,
      ok: ((): boolean => {
        JSON.parse(ran.stdout)
        return true
      })(),
    }).toEqual({ args, ok: true })
  }
  for (const text of (await fleet.troupe(['events', ref, '--json'])).stdout.trim().split('\n'))
    JSON.parse(text)
  for (const text of (await fleet.troupe(['logs', ref, '--json'])).stdout.trim().split('\n'))
    if (text) JSON.parse(text)
})

test('run passes the child’s own code on: exit 137 and SIGKILL are told apart [R-10 A-21 +A2 +R3]', async () => {
  const plain = await fleet.troupe(['run', '--', 'sh', '-c', 'echo out; echo err >&2; exit 137'])
  expect(plain.code).toBe(137)
  expect(plain.stdout).toContain('out')
  const killed = await fleet.troupe(['run', '--', 'sh', '-c', 'kill -9 $$'])
  expect(killed.code).toBe(137)
  const runs = (await fleet.json(['ps', '--all'])).filter((r: { name: string }) => r.name === 'sh')
  const exits = await Promise.all(
    runs.map(async (r: { run: string }) => (await fleet.json(['status', r.run])).workers[0].exit),
  )
  expect(exits).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ code: 137, signal: null }),
      expect.objectContaining({ code: null, signal: 'SIGKILL' }),
    ]),
  )
})

test('Ctrl-C in the middle of run stops the run, with nothing left', async () => {
  const child = spawn(TROUPE, ['run', '--name', 'ctrlc', '--', 'sh', '-c', 'echo up; sleep 600'], {
    env: fleet.env,
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let interrupted = false
  child.stdout.on('data', (chunk) => {
    if (String(chunk).includes('up') && !interrupted) {
      interrupted = true
      child.kill('SIGINT')
    }
  })
  const code = await new Promise((resolve) => child.on('close', resolve))
  expect(code).toBe(130)
  const ended = (await fleet.json(['ps', '--all'])).find((r: { name: string }) => r.name === 'ctrlc')
  expect(ended).toMatchObject({ state: 'cancelled' })
})
