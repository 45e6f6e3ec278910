/** Logs by the command line on a real fleet: read back byte for byte, chosen by line, followed. */
import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { cliFleet } from '../support/cli-fleet.ts'
import { until } from '../support/fleet.ts'

const cli = cliFleet()

function sha(bytes: string | Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

test('logs --raw is the file: 1 MB lines, binary bytes, no newline at the end; --out copies the same [FC-13 R-18 A-33]', async () => {
  const program = join(cli.dir, 'bytes.py')
  await writeFile(
    program,
    [
      'import sys',
      'w = sys.stdout.buffer',
      String.raw`w.write(b"x" * 1000000 + b"\n")`,
      'for i in range(256): w.write(bytes(range(256)) * 8)',
      String.raw`w.write(b"\x00\xff last without newline")`,
      'w.flush()',
    ].join('\n'),
  )
  const expected = Buffer.concat([
    Buffer.alloc(1_000_000, 'x'),
    Buffer.from('\n'),
    ...Array.from({ length: 256 }, () =>
      Buffer.concat(Array.from({ length: 8 }, () => Buffer.from(Array.from({ length: 256 }, (_, i) => i)))),
    ),
    Buffer.from([0, 255]),
    Buffer.from(' last without newline'),
  ])
  const run = await cli.launch('bytes', ['python3', program])
  const follower = cli.start(['logs', run, '--raw', '--stream', 'stdout', '-f'])
  const followed: Buffer[] = []
  follower.stdout!.on('data', (chunk: Buffer) => followed.push(chunk))
  await follower.ended
  expect(follower.exitCode).toBe(0)
  expect(sha(Buffer.concat(followed))).toBe(sha(expected))
  expect((await cli.fleet.troupe(['logs', run, '--out', cli.dir], { cwd: cli.dir })).code).toBe(0)
  expect(sha(await readFile(join(cli.dir, run, 'main-0-stdout.log')))).toBe(sha(expected))
  const several = await cli.fleet.troupe(['logs', run, '--raw'])
  expect({ code: several.code, stdout: several.stdout }).toEqual({ code: 2, stdout: '' })
  expect(several.stderr).toContain('main/0 stdout, main/0 stderr')
})

test('logs --raw --since gives what was written since, not only what is still to come [U-05]', async () => {
  const run = await cli.launch('ticks', [
    'sh',
    '-c',
    'for i in 1 2 3 4 5 6 7 8 9; do echo tick $i; sleep 0.3; done; sleep 600',
  ])
  await until('all is written', async () => (await cli.fleet.troupe(['logs', run])).stdout.includes('tick 9'))
  const { stdout } = await cli.fleet.troupe([
    'logs',
    `${run}/main/0`,
    '--raw',
    '--stream',
    'stdout',
    '--since',
    '1h',
  ])
  expect(stdout).toBe([1, 2, 3, 4, 5, 6, 7, 8, 9].map((i) => `tick ${i}\n`).join(''))
  await cli.fleet.troupe(['kill', run])
})

test('--out of a directory that cannot be: refused before anything is launched, and at once [R-18]', async () => {
  await writeFile(join(cli.dir, 'a-file'), '')
  for (const out of ['/proc/nothing/here', join(cli.dir, 'a-file')]) {
    const ran = await cli.fleet.troupe(['run', '--name', 'unkept', '--out', out, '--', 'true'])
    expect({ code: ran.code, stdout: ran.stdout }).toEqual({ code: 2, stdout: '' })
    expect(ran.stderr).toContain(`logs cannot be kept in '${out}'`)
  }
  expect(
    (await cli.fleet.json(['ps', '--all'])).some(({ name }: { name: string }) => name === 'unkept'),
  ).toBe(false)
})

test('a follower of a run that has not started waits, and its lines carry their worker [A-33 U-05 +A22]', async () => {
  const document = JSON.stringify({
    apiVersion: 'troupe/v1',
    name: 'later',
    roles: {
      first: { kind: 'task', command: ['sleep', '1'] },
      main: {
        kind: 'task',
        replicas: 2,
        dependsOn: { first: { condition: 'done' } },
        command: ['sh', '-c', 'for i in 1 2 3; do echo line $i; sleep 0.1; done'],
      },
    },
  })
  const id = (await cli.fleet.troupe(['launch', '-q', '-f', '-'], { input: document })).stdout.trim()
  const ran = await cli.fleet.troupe(['logs', `${id}/main`, '-f'])
  expect(ran.code).toBe(0)
  expect(ran.stdout.trim().split('\n').toSorted()).toEqual(
    [0, 1].flatMap((index) => [1, 2, 3].map((i) => `[main/${index}] line ${i}`)).toSorted(),
  )
})

test('--tail, --grep, --since and a role’s handle choose lines [U-05]', async () => {
  const run = await cli.launch('lines', ['sh', '-c', 'seq 1 100; echo done >&2'])
  await cli.fleet.troupe(['wait', run])
  expect(
    (await cli.fleet.troupe(['logs', `${run}/main/0`, '--tail', '2', '--stream', 'stdout'])).stdout,
  ).toBe('[main/0] 99\n[main/0] 100\n')
  expect((await cli.fleet.troupe(['logs', run, '--grep', '^9.$'])).stdout.split('\n')).toHaveLength(11)
  expect(
    (await cli.fleet.troupe(['logs', run, '--since', '1h', '--stream', 'stdout'])).stdout.split('\n'),
  ).toHaveLength(101)
  const { at } = JSON.parse(
    (await cli.fleet.troupe(['events', run, '--json'])).stdout.trim().split('\n').at(-1)!,
  )
  expect((await cli.fleet.troupe(['logs', run, '--since', new Date(at + 5000).toISOString()])).stdout).toBe(
    '',
  )
})

test('output whose reader goes away ends quietly, and run goes on to the child’s own end [K-25]', async () => {
  const run = await cli.launch('chatty', ['sh', '-c', 'yes | head -n 300000'])
  await cli.fleet.troupe(['wait', run])
  const child = cli.start(['logs', run])
  child.stdout!.once('data', () => child.stdout!.destroy())
  await child.ended
  expect(child.exitCode).toBe(0)
  const running = cli.start([
    'run',
    '--',
    'sh',
    '-c',
    'for i in $(seq 1 5); do echo $i; sleep 0.1; done; exit 5',
  ])
  running.stdout!.once('data', () => running.stdout!.destroy())
  await running.ended
  expect(running.exitCode).toBe(5)
})
