/** Agents that join by a credential, as on another machine: with a spool of their own and without a home. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readlink, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { cacheOf } from '../../src/system/paths.ts'
import { alive, run, startFleet, task, TROUPE, until, type Fleet } from '../support/fleet.ts'
import { processesOf } from '../support/fleet-processes.ts'

let fleet: Fleet
/** What the other machine has. */
let there: string
let env: NodeJS.ProcessEnv
beforeAll(async () => {
  there = await mkdtemp(join(tmpdir(), 'troupe-there-'))
  await mkdir(join(there, 'home'))
  env = {
    PATH: process.env['PATH'],
    HOME: join(there, 'home'),
    TROUPE_CACHE: cacheOf(process.env),
    TROUPE_LOCAL: join(there, 'local'),
  }
  fleet = await startFleet({ agents: 1 })
})
afterAll(async () => {
  await fleet?.end()
  await rm(there, { recursive: true, force: true })
  expect(await processesOf(fleet.home)).toEqual([])
  expect(await processesOf(there)).toEqual([])
})

/** As a shell's `> FILE` with an ordinary umask. */
async function invite(node: string, ...args: string[]): Promise<string> {
  const file = join(there, `${node}.json`)
  const line = 'umask 022; exec "$@" > "$FILE"'
  const ran = await run('sh', ['-c', line, 'sh', TROUPE, 'nodes', 'invite', node, ...args], {
    env: { ...fleet.env, FILE: file },
  })
  expect(ran.code, ran.stderr).toBe(0)
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  return file
}
async function nodeOf(name: string): Promise<{ state: string; pid: number } | undefined> {
  const nodes = await fleet.json<{ node: string; state: string; pid: number }[]>(['nodes'])
  return nodes.find(({ node }) => node === name)
}
async function launchOn(node: string, command: string[], name = 'there'): Promise<string> {
  const ran = await fleet.troupe(['launch', '-q', '-f', '-'], {
    input: task(name, command, { nodelist: [node] }),
  })
  expect(ran.code, ran.stderr).toBe(0)
  return ran.stdout.trim()
}

test('an agent joins by its file alone, with a spool of its own and no home; down ends its workers and leaves it', async () => {
  const file = await invite('gpu0')
  const agent = fleet.start(['agent', '--credential', file], { ...env, TROUPE_HOME: undefined })
  await until('gpu0 is ready', async () => {
    const node = await nodeOf('gpu0')
    return node?.state === 'ready' && node.pid === agent.pid
  })
  expect(await readdir(join(there, 'home'))).toEqual([])
  expect(await readdir(join(there, 'local'))).toEqual([expect.stringMatching(/^main@[a-z0-9]{16}$/)])

  const said = await launchOn('gpu0', ['sh', '-c', 'echo from $TROUPE_NODE'])
  expect((await fleet.troupe(['wait', said, '--timeout', '30s'])).code).toBe(0)
  expect((await fleet.troupe(['logs', said, '--raw', '--stream', 'stdout'])).stdout).toBe('from gpu0\n')

  const left = await launchOn('gpu0', ['sleep', '1000'], 'left')
  expect((await fleet.troupe(['wait', left, '--for', 'running', '--timeout', '30s'])).code).toBe(0)
  const { worker, pid } = (await fleet.json(['status', left])).workers[0]
  const down = await fleet.json(['down'])
  expect(down.receipts).toMatchObject([{ worker, outcome: 'gone' }])
  expect([await alive(pid), await alive(agent.pid!)]).toEqual([false, true])

  await fleet.repair()
  await until('gpu0 is ready again', async () => (await nodeOf('gpu0'))?.state === 'ready')
  agent.kill('SIGINT')
  await once(agent, 'close')
  expect(agent.output().code).toBe(0)
})

test('a bundle runs an agent where there is no Node and no environment, and is not written twice', async () => {
  const dir = join(there, 'bundles')
  const made = await fleet.troupe(['agent', '--bundle', dir, '--json'])
  expect(made.code, made.stderr).toBe(0)
  const { program, written } = JSON.parse(made.stdout) as { program: string; written: boolean }
  expect([written, dirname(dirname(program))]).toEqual([true, dir])
  const before = await stat(dirname(program))
  const again = JSON.parse((await fleet.troupe(['agent', '--bundle', dir, '--json'])).stdout)
  expect(again).toMatchObject({ program, written: false })
  expect((await stat(dirname(program))).ctimeMs).toBe(before.ctimeMs)
  expect(await readdir(dir)).toEqual([basename(dirname(program))])

  const args = ['--credential', await invite('bare'), '--local', join(there, 'bare')]
  const agent = spawn(program, args, { env: { PATH: '/nowhere' }, cwd: '/', stdio: 'ignore' })
  await until('bare is ready', async () => (await nodeOf('bare'))?.state === 'ready')
  expect(await readlink(`/proc/${agent.pid}/exe`)).toBe(join(dirname(program), 'node'))
  const said = await launchOn('bare', ['/bin/echo', 'from a bundle'], 'bundled')
  expect((await fleet.troupe(['wait', said, '--timeout', '30s'])).code).toBe(0)
  expect((await fleet.troupe(['logs', said, '--raw', '--stream', 'stdout'])).stdout).toBe('from a bundle\n')
  agent.kill('SIGTERM')
  await once(agent, 'close')
})
