/** What a worker has beside its environment: of the shell of its agent, and of the one that launches. */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fleetEnv, makeHome, run, TROUPE, type Ran } from '../support/fleet.ts'

let home: string
/** `troupe ARGS`, typed into a shell after these words. */
function typed(words: string, ...args: string[]): Promise<Ran> {
  return run('sh', ['-c', `${words}; "$0" "$@"`, TROUPE, ...args], { env: fleetEnv(home) })
}

function worker(words: string, script: string, ...flags: string[]): Promise<Ran> {
  return typed(words, 'run', ...flags, '--', 'sh', '-c', script)
}

beforeAll(async () => {
  home = await makeHome()
  const up = await typed(
    "trap '' INT QUIT HUP; ulimit -Sn 1000; umask 026; export BYTES=$(printf 'a\\344b=\\377') N=ö",
    'up',
    '--detach',
  )
  expect(up.code, up.stderr).toBe(0)
})
afterAll(async () => {
  await run(TROUPE, ['down'], { env: fleetEnv(home) })
  await rm(home, { recursive: true, force: true })
})

const LIMITS = 'ulimit -Sn; umask; ulimit -Sc; ulimit -Ss'

test('nothing of the caller is taken along: umask and limits are those of the shell of `up`, and the hard ones are untouched', async () => {
  const hard = (await run('sh', ['-c', 'ulimit -Hn'])).stdout
  const ran = await worker(
    'umask 077; ulimit -Sc 0',
    'ulimit -Sn; ulimit -Hn; umask; cat /proc/self/limits >&2',
    '--env-from',
    'none',
  )
  expect(ran.stdout).toBe(`1000\n${hard}0026\n`)
  const rows = (text: string): string[] =>
    text
      .split('\n')
      .filter((line) => line.startsWith('Max ') && !line.startsWith('Max open files'))
      .map((line) => line.trimEnd())
  const here = rows((await run('cat', ['/proc/self/limits'])).stdout)
  expect(here.length).toBe(15)
  expect(rows(ran.stderr)).toEqual(here)
})

test('the shell that launches has others: the worker has those', async () => {
  const { stdout } = await worker('ulimit -Sn 777; umask 027; ulimit -Sc 8; ulimit -Ss 4096', LIMITS)
  expect(stdout).toBe('777\n0027\n8\n4096\n')
})

test('a launched file has them too, and a Node program that launches leaves open files to the agent', async () => {
  const { stdout } = await run(TROUPE, ['run', '--', 'sh', '-c', 'ulimit -Sn'], { env: fleetEnv(home) })
  expect(stdout).toBe('1000\n')
})

test('ignored signals of the agent’s shell reach no worker; no terminal, no descriptor, empty stdin; what the kernel hands on is unchanged', async () => {
  const script = [
    'grep -E "Sig(Blk|Ign)|Cpus_allowed_list" /proc/self/status',
    'cat /proc/self/oom_score_adj',
    'cut -d " " -f 7,19 /proc/self/stat',
    'readlink /proc/self/fd/0',
    // the shell itself has the directory open while it reads the names
    'for fd in /proc/$$/fd/*; do case ${fd##*/} in 0|1|2) ;; *) [ ! -e $fd ] || echo "fd $fd" ;; esac; done',
  ].join('; ')
  const here = (await run('sh', ['-c', script.split('; ').slice(0, 2).join('; ')])).stdout
  const nice = (await run('cut', ['-d', ' ', '-f', '19', '/proc/self/stat'])).stdout
  const ran = await worker('true', script)
  expect(ran.stdout).toBe(`${here}0 ${nice}/dev/null\n`)
  expect(here).toContain('SigIgn:\t0000000000000000')
})

test('a variable of the agent whose bytes are no UTF-8 arrives as it is; of the caller it is refused', async () => {
  const script = 'printf %s "$BYTES$N" | od -An -tx1'
  const env = { ...fleetEnv(home), BYTES: undefined }
  const ran = await run(TROUPE, ['run', '--', 'sh', '-c', script], { env })
  expect(ran.stdout).toBe(' 61 e4 62 3d ff c3 b6\n')
  const refused = await typed("export X=$(printf 'a\\344')", 'run', '--env-from', 'all', '--', 'true')
  expect(refused).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('the value of X here holds bytes'),
  })
  const argument = await run('sh', ['-c', `exec ${TROUPE} run --env "X=$(printf 'a\\344')" -- true`], { env })
  expect([argument.code, argument.stderr]).toEqual([
    2,
    expect.stringContaining("the argument 'X=a\\xe4' holds bytes that are no UTF-8") as string,
  ])
  // the character that Node puts there may as well have been typed
  const exact = await run(TROUPE, ['run', '--env', 'X', '--', 'sh', '-c', 'echo "$X" "$0"', 'b\uFFFD'], {
    env: { ...env, X: 'a\uFFFD' },
  })
  expect(exact.stdout).toBe('a\uFFFD b\uFFFD\n')
})

test('what stands where the bytes of a directory’s name were changed to is not taken for it', async () => {
  const script = `cd ${home} && mkdir "$(printf 'd\\344')" 'd\uFFFD' && cd "$(printf 'd\\344')" && exec ${TROUPE} run -- pwd`
  const env = fleetEnv(home)
  const ran = await run('sh', ['-c', script], { env })
  expect(ran).toMatchObject({ code: 2, stdout: '' })
  expect(ran.stderr).toContain(`the name of the directory '${home}/d\\xe4' holds bytes`)
  expect((await run(TROUPE, ['run', '--', 'pwd'], { env, cwd: join(home, 'd\uFFFD') })).stdout).toBe(
    `${home}/d\uFFFD\n`,
  )
})

test('a probe’s program goes without such a variable', async () => {
  const env = { ...fleetEnv(home), BYTES: undefined }
  const probed = JSON.stringify({
    apiVersion: 'troupe/v1',
    name: 'probed',
    roles: {
      main: {
        command: ['sleep', '60'],
        ready: { exec: ['sh', '-c', 'test -z "${BYTES+x}" && test "$N" = ö'] },
      },
    },
    stopWhen: 'main.done',
  })
  await run(TROUPE, ['launch', '-f', '-'], { env, input: probed })
  expect((await run(TROUPE, ['wait', 'probed', '--for', 'ready', '--timeout', '20s'], { env })).code).toBe(0)
  expect((await run(TROUPE, ['kill', 'probed'], { env })).code).toBe(0)
})

test('a Python of the agent lacks a module that the one of this shell has: both are named', async () => {
  const bin = join(home, 'bin')
  await mkdir(bin)
  await writeFile(join(bin, 'python3'), '#!/bin/sh\nexit 0\n', { mode: 0o755 })
  const command = ['run', '--env-from', 'none', '--', 'python3', '-c', 'import nowhere_at_all']
  const { code, stderr } = await typed(`PATH=${bin}:$PATH`, ...command)
  expect(code).toBe(1)
  expect(stderr).toMatch(/troupe: 'python3' is \/\S+\/python3, by the PATH of the agent or the document/)
  expect(stderr).toContain(`here 'python3' is ${bin}/python3, of the worker it was /`)
  expect((await run(TROUPE, ['explain', 'last'], { env: fleetEnv(home) })).stdout).toMatch(
    /'python3' is \/\S+/,
  )
})
