/**
 * A real PostgreSQL as a service: TERM is its smart shutdown, which serves the clients that are there to
 * their end; INT is its fast one, which cuts them. Neither works when its children get the signal as well.
 */
import { existsSync, readdirSync } from 'node:fs'
import { chmod, chown, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startFleet, run as runProgram, until, type Fleet, type Ran } from '../support/fleet.ts'

let fleet: Fleet
let dir: string
let data: string

/** The newest server's programs; set-up has installed one. */
function programs(): string {
  const all = '/usr/lib/postgresql'
  const versions = existsSync(all) ? readdirSync(all).toSorted((a, b) => Number(b) - Number(a)) : []
  const found = versions.find((version) => existsSync(join(all, version, 'bin/postgres')))
  if (found === undefined) throw new Error('there is no PostgreSQL server: apt-get install postgresql')
  return join(all, found, 'bin')
}

/** The server refuses to run as root. */
const AS_OWNER =
  process.getuid!() === 0 ? ['setpriv', '--reuid', 'postgres', '--regid', 'postgres', '--clear-groups'] : []

async function mustRun(argv: string[]): Promise<string> {
  const { code, stdout, stderr } = await runProgram(argv[0]!, argv.slice(1), { cwd: '/' })
  expect(code, `${argv.join(' ')}: ${stderr}`).toBe(0)
  return stdout.trim()
}

beforeAll(async () => {
  fleet = await startFleet()
  dir = await mkdtemp(join(tmpdir(), 'troupe-pg-'))
  data = join(dir, 'data')
  await mkdir(data)
  if (AS_OWNER.length > 0) {
    const [uid, gid] = [await mustRun(['id', '-u', 'postgres']), await mustRun(['id', '-g', 'postgres'])]
    for (const path of [dir, data]) await chown(path, Number(uid), Number(gid))
  }
  for (const path of [dir, data]) await chmod(path, 0o700)
  await mustRun([
    ...AS_OWNER,
    join(programs(), 'initdb'),
    ...['-D', data, '-U', 'tester', '-A', 'trust', '--no-sync'],
  ])
})
afterAll(async () => {
  await fleet.end()
  await rm(dir, { recursive: true, force: true })
})

function psql(query: string): Promise<Ran> {
  const client = [...AS_OWNER, 'psql', '-h', dir, '-U', 'tester', '-d', 'postgres', '-Atc', query]
  return runProgram(client[0]!, client.slice(1), { cwd: '/' })
}

/** A client is in a query of three seconds when the server is told to end. */
async function stoppedWithClient(signal: string) {
  const server = {
    kind: 'service',
    prefix: AS_OWNER,
    command: [join(programs(), 'postgres'), '-D', data, '-k', dir, '-c', 'listen_addresses=', '-F'],
    ready: { log: 'database system is ready to accept connections' },
    stop: { signal, grace: '30s' },
  }
  const document = { apiVersion: 'troupe/v1', name: 'db', cwd: '/', roles: { server } }
  const launched = await fleet.troupe(['launch', '-q', '-f', '-'], { input: JSON.stringify(document) })
  expect(launched.code, launched.stderr).toBe(0)
  const run = launched.stdout.trim()
  const ready = await fleet.troupe(['wait', run, '--for', 'ready', '--timeout', '60s'])
  expect(ready.code, ready.stderr).toBe(0)
  const client = psql("select 'row' from pg_sleep(3)")
  await until('the client is in its query', async () => {
    const { stdout } = await psql("select count(*) from pg_stat_activity where wait_event = 'PgSleep'")
    return stdout.trim() === '1'
  })
  const { receipts } = await fleet.json(['stop', run])
  expect(receipts).toMatchObject([{ outcome: 'gone' }])
  const [worker] = (await fleet.json(['status', run])).workers
  expect(worker.exit).toMatchObject({ code: 0, signal: null })
  const logs = await fleet.troupe(['logs', run])
  expect(logs.stdout + logs.stderr).toContain('database system is shut down')
  return client
}

test('PostgreSQL, TERM with a client in a query: the client gets its row, then the server ends with 0', async () => {
  const { code, stdout, stderr } = await stoppedWithClient('TERM')
  expect(stderr).toBe('')
  expect(stdout.trim()).toBe('row')
  expect(code).toBe(0)
})

test('PostgreSQL, INT with a client in a query: the client is cut, and the server ends with 0', async () => {
  const { code, stdout, stderr } = await stoppedWithClient('INT')
  expect(stdout).toBe('')
  expect(stderr).toContain('terminating connection due to administrator command')
  expect(code).not.toBe(0)
})
