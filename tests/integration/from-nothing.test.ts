/** Pages as a user types them, from nothing: a home without a fleet, and at the end without a process. */
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { blocksOf } from '../support/code-blocks.ts'
import { fleetEnv, run, TROUPE, type Ran } from '../support/fleet.ts'
import { processesOf } from '../support/fleet-processes.ts'

let dir: string
let home: string
let cwd: string
let env: NodeJS.ProcessEnv
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'troupe-page-'))
  home = join(dir, 'home')
  cwd = join(dir, 'cwd')
  await mkdir(cwd)
  env = fleetEnv(home)
  env['PATH'] = `${dirname(TROUPE)}${delimiter}${env['PATH']}`
})
afterEach(async () => {
  await run(TROUPE, ['down'], { env })
  await rm(dir, { recursive: true, force: true })
})

/** In one shell that has jobs, as a terminal's. */
async function type(script: string): Promise<Ran> {
  const ran = await run('bash', ['-emc', script], { env, cwd, timeoutMs: 120_000 })
  expect(ran.code, ran.stdout + ran.stderr).toBe(0)
  return ran
}

/** Addresses in hexadecimal, as the kernel has them, at which processes of the fleet listen. */
async function listeners(): Promise<string[]> {
  const pids = (await processesOf(home)).map((line) => line.split(' ')[0]!)
  const sockets = new Set<string>()
  for (const pid of pids)
    for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => []))
      sockets.add(await readlink(`/proc/${pid}/fd/${fd}`).catch(() => ''))
  const tables = await Promise.all(
    ['tcp', 'tcp6', 'udp', 'udp6'].map((name) => readFile(`/proc/net/${name}`, 'utf8').catch(() => '')),
  )
  const rows = tables.flatMap((table) => table.split('\n').map((line) => line.trim().split(/\s+/)))
  const LISTEN = ['0A', '07']
  return rows
    .filter(([, , , state, , , , , , inode]) => LISTEN.includes(state!) && sockets.has(`socket:[${inode}]`))
    .map(([, local]) => local!.split(':')[0]!)
}

test('the page of a lone user on a laptop: nothing listens on a network, and nothing is left', async () => {
  const scripts = blocksOf('docs/howto/a-laptop.md').map(({ text }) => text)
  const said: string[] = []
  for (const script of scripts) {
    const { stdout, stderr } = await type(script)
    said.push(stdout + stderr)
    if (!script.includes('troupe down')) expect(new Set(await listeners())).toEqual(new Set(['0100007F']))
  }
  expect(said[1]).toContain('hello from n0')
  expect((await stat(join(cwd, 'own.creds'))).mode & 0o777).toBe(0o600)
  expect(said[2]).toMatch(
    /nats-py: nats\.connect\('nats:\/\/127\.0\.0\.1:\d+', user_credentials='own\.creds'/,
  )
  expect(said[3]).toContain('dashboard')
  expect(await processesOf(home)).toEqual([])
})

test('the page of a login node with agents on other machines: by TLS on all addresses, joined by a file', async () => {
  const blocks = blocksOf('docs/howto/agents-on-other-machines.md')
  for (const { file, text } of blocks) if (file !== null) await writeFile(join(cwd, file), text)
  const scripts = blocks.filter(({ language }) => language === 'sh').map(({ text }) => text)
  const { stdout } = await type(scripts.join('\n'))
  expect(stdout).toMatch(/tls:\/\/(?!127\.)\S+:\d+/)
  expect(stdout).toContain('on gpu0')
  expect(JSON.parse(await readFile(join(cwd, 'gpu0.json'), 'utf8'))).toMatchObject({
    url: expect.stringMatching(/^tls:/),
    credentials: { ca: await readFile(join(home, 'keys/main/ca.pem'), 'utf8') },
  })
  expect(await processesOf(home)).toEqual([])
})
