/** Going away from a run: detached, by a hang-up, and after signals, within a bound. */
import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { cliFleet } from '../support/cli-fleet.ts'
import { TROUPE, until } from '../support/fleet.ts'

const cli = cliFleet()

test.each([
  ['run', '-d', '-q', '--name', 'left', '--', 'sleep', '600'],
  ['launch', '-q', '--name', 'left', '--', 'sleep', '600'],
])('%s %s… returns with the id, and the run lives', async (...args) => {
  const ran = await cli.fleet.troupe(args)
  expect(ran).toMatchObject({ code: 0, stderr: '' })
  expect(ran.stdout).toMatch(/^left-[0-9a-f]{12}\n$/)
  const run = ran.stdout.trim()
  expect((await cli.fleet.troupe(['wait', run, '--for', 'running', '--timeout', '20s'])).code).toBe(0)
  await cli.fleet.troupe(['kill', run])
})

test('a terminal that closes: run says how to come back, and the run lives', async () => {
  const child = cli.start(['run', '--name', 'hup', '--', 'sh', '-c', 'echo up; exec sleep 600'])
  let [out, err] = ['', '']
  child.stdout!.on('data', (chunk: Buffer) => (out += chunk))
  child.stderr!.on('data', (chunk: Buffer) => (err += chunk))
  await until('it runs', async () => out.includes('up'))
  child.kill('SIGHUP')
  expect(await child.ended).toEqual([129, null])
  const run = /run (hup-[0-9a-f]{12})/.exec(err)![1]!
  expect(err).toContain(`hang-up: ${run} goes on; come back with: troupe logs -f ${run}`)
  expect((await cli.fleet.json(['status', run])).state).toBe('running')
  await cli.fleet.troupe(['kill', run])
})

test.each([
  ['a pipe with data', 'echo data |', '', true],
  ['a file', '', '< /etc/passwd', true],
  ['an idle pipe', 'sleep 0.1 |', '', false],
  ['a pipe that ended without data', ': |', '', false],
  ['/dev/null', '', '< /dev/null', false],
])('stdin is %s: said only when something is dropped', (_, before, after, isSaid) => {
  const { stderr, stdout } = spawnSync(
    'bash',
    ['-c', `${before} "$TROUPE" run -- sh -c 'cat; sleep 0.5; echo ran' ${after}`],
    { env: { ...cli.fleet.env, TROUPE }, encoding: 'utf8' },
  )
  expect(stdout).toBe('ran\n')
  expect(stderr.includes('stdin is not passed on')).toBe(isSaid)
})

test('Ctrl-C of a stop: it goes on, and says how its end is heard', async () => {
  const command = ['sh', '-c', 'trap "" TERM; echo up; while :; do sleep 0.05; done']
  const id = await cli.launch('deaf', command, { stop: { grace: '10m' } })
  await until('the trap is set', async () => (await cli.fleet.troupe(['logs', id])).stdout.includes('up'))
  const child = cli.start(['stop', id])
  await until('it is stopping', async () => (await cli.fleet.json(['status', id])).state === 'stopping')
  child.kill('SIGINT')
  expect(await child.ended).toEqual([130, null])
  expect(child.output()).toMatchObject({ stdout: '' })
  expect(child.output().stderr).toContain(`goes on without us; how it ends:\n  troupe wait ${id}\n`)
  expect((await cli.fleet.json(['status', id])).state).toBe('stopping')
  await cli.fleet.troupe(['kill', id])
})

test('stdout that cannot be written: 1, and it says why', () => {
  const { status, stderr } = spawnSync('bash', ['-c', '"$TROUPE" nodes > /dev/full'], {
    env: { ...cli.fleet.env, TROUPE },
    encoding: 'utf8',
  })
  expect(status).toBe(1)
  expect(stderr).toMatch(/^troupe: stdout cannot be written: .*ENOSPC/)
})

test('--timeout is not the run’s: its limit is deadlines.run, for a command too', async () => {
  const ran = await cli.fleet.troupe(['run', '-q', '--set', 'deadlines.run=1s', '--', 'sleep', '600'])
  expect(ran.code).toBe(124)
  const help = (await cli.fleet.troupe(['run', '--help'])).stdout
  expect(help.replace(/\s+/g, ' ')).toContain('--set deadlines.run=TIME')
})

test('the working directory was removed: it is named, and what needs none works', () => {
  const here = (line: string): [number | null, string] => {
    const script = `cd "$(mktemp -d)" && rmdir "$PWD" && ${line}`
    const env = { ...cli.fleet.env, TROUPE }
    const { status, stderr } = spawnSync('bash', ['-c', script], { env, encoding: 'utf8' })
    return [status, stderr]
  }
  expect(here('"$TROUPE" run -q -- true')).toEqual([
    125,
    expect.stringMatching(/the working directory '\/.* \(deleted\)' is not there/),
  ])
  expect(here('"$TROUPE" ps -q')[0]).toBe(0)
})
