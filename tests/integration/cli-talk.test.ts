/** What is said while and after a run: by -q, at a restart, and on a terminal. */
import { expect, test } from 'vitest'
import { cliFleet } from '../support/cli-fleet.ts'
import { python, run, TROUPE } from '../support/fleet.ts'

const cli = cliFleet()

test('-q drops the talk and keeps the failure: of run, and of wait', async () => {
  const ran = await cli.fleet.troupe([
    'run',
    '-q',
    '--name',
    'quiet',
    '--',
    'sh',
    '-c',
    'echo boom >&2; exit 3',
  ])
  expect({ code: ran.code, stdout: ran.stdout }).toEqual({ code: 3, stdout: '' })
  expect(ran.stderr).toMatch(/^boom\nFAILED {2}quiet-[0-9a-f]{12}\/main\/0 on n\d exited 3\n {2}\| boom\n$/)
  const waited = await cli.fleet.troupe(['wait', '-q', 'quiet'])
  expect(waited.stdout).toMatch(/^quiet-[0-9a-f]{12}\n$/)
  expect(waited.stderr).toMatch(/^FAILED .*exited 3\n {2}\| boom\n$/)
  const refused = await cli.fleet.troupe(['run', '-q', '-f', '/no/such/file'])
  expect(refused.stderr).toContain('/no/such/file')
})

test('a restart is one line of run: the attempt, its cause, the pause', async () => {
  const document = {
    apiVersion: 'troupe/v1',
    name: 'flap',
    cwd: cli.dir,
    roles: {
      main: {
        command: ['sh', '-c', 'test -e second && exit 0; touch second; exit 5'],
        restart: { policy: 'on-failure', max: 2, backoff: ['300ms', '1s'] },
      },
    },
  }
  const { code, stderr } = await cli.fleet.troupe(['run', '-f', '-'], { input: JSON.stringify(document) })
  expect(code).toBe(0)
  const lines = stderr.split('\n').filter((line) => line.includes('attempt'))
  expect(lines).toEqual([expect.stringMatching(/^attempt 1: main\/0 exited 5.*; attempt 2 in 0\.\d s/)])
})

/** As in a terminal: both streams are a pty. */
async function onTerminal(args: string[]): Promise<string> {
  const spawn = 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)'
  return (await run(python, ['-c', spawn, TROUPE, ...args], { env: { ...cli.fleet.env, TERM: 'xterm' } }))
    .stdout
}

test('what a worker writes does nothing to a terminal: in logs, events, ps, status, explain and run', async () => {
  const evil = String.raw`\033]0;PWNED\007\033[2Jdone`
  const command = ['sh', '-c', `printf '${evil}\n'; printf '${evil}\n' >&2; exit 3`]
  const id = await cli.launch('evil', command, { replicas: 2 })
  await cli.fleet.troupe(['wait', id])
  const shown: [string, string][] = []
  for (const args of [
    ['logs', id],
    ['status', id],
    ['explain', id],
    ['events', id],
    ['events', id, '--json'],
    ['ps', '--all'],
  ])
    shown.push([args.join(' '), await onTerminal(args)])
  shown.push(['run', await onTerminal(['run', '--nodes', '2', '--', ...command])])
  shown.push(['run of one', await onTerminal(['run', '--', ...command])])
  const harmful = shown.filter(([, text]) =>
    /\u001b\]|\u0007|\u001b\[2J/.test(text.replaceAll('\r\u001b[2K', '')),
  )
  expect(harmful).toEqual([])
  for (const [command, text] of shown)
    if (/^(logs|status|explain|run)/.test(command))
      expect(text).toContain(String.raw`\x1b]0;PWNED\x07\x1b[2Jdone`)
})
