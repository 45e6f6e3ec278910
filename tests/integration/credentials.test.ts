/** Credentials that were handed out, on a real fleet with TLS: elsewhere, by other clients, revoked. */
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { spawn } from 'node:child_process'
import { openSync, closeSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as natsConnect, credsAuthenticator } from 'nats'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { homeLayout } from '../../src/fleet/home.ts'
import { readMinter } from '../../src/fleet/keys.ts'
import { readCredentials, type Credentials } from '../../src/system/contexts.ts'
import { connectNats } from '../../src/transport/nats/bus.ts'
import { mintCredentials } from '../../src/transport/nats/tenant-accounts.ts'
import { python, root, run, startFleet, task, TROUPE, type Fleet } from '../support/fleet.ts'

let fleet: Fleet
let dir: string
beforeAll(async () => {
  fleet = await startFleet({ up: ['--listen', '127.0.0.1'] })
  dir = await mkdtemp(join(tmpdir(), 'troupe-credentials-'))
})
afterAll(async () => {
  await rm(dir, { recursive: true, force: true })
  await fleet.end()
})

/** Add a person, whose other machine is a home of its own. */
async function person(name: string, flags: string[] = []) {
  const file = join(dir, `${name}.json`)
  const added = await fleet.troupe(['user', 'add', name, '-o', file, ...flags])
  expect([added.code, added.stdout]).toEqual([0, `${file}\n`])
  const env = { TROUPE_HOME: join(dir, name) }
  expect((await fleet.troupe(['context', 'add', file], { env })).code).toBe(0)
  const credentials = (JSON.parse(await readFile(file, 'utf8')) as { credentials: Credentials }).credentials
  expect(credentials.ca).toBe(await readFile(join(fleet.home, 'keys/main/ca.pem'), 'utf8'))
  return { file, credentials, troupe: (args: string[], input = '') => fleet.troupe(args, { env, input }) }
}

const REFUSED = { code: 5, stdout: '', stderr: expect.stringContaining('(PERMISSION)') }

test('what the shell made readable for others is ours alone before the secret is in it', async () => {
  const file = join(dir, 'redirected.json')
  const fd = openSync(file, 'w', 0o644)
  const child = spawn(TROUPE, ['user', 'add', 'zoe'], { env: fleet.env, stdio: ['ignore', fd, 'pipe'] })
  let said = ''
  child.stderr!.on('data', (chunk) => (said += String(chunk)))
  expect(await once(child, 'close')).toEqual([0, null])
  closeSync(fd)
  expect(said).toContain('it is 0600 now')
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ kind: 'credential', user: 'zoe' })
})

test('a client launches from another home in its own name; an observer looks, and may not launch', async () => {
  const bob = await person('bob', ['--expires', '12h'])
  const launched = await bob.troupe(['launch', '-q', '-f', '-'], task('of-bob', ['true']))
  expect(launched.code).toBe(0)
  expect((await bob.troupe(['wait', launched.stdout.trim()])).code).toBe(0)
  const eve = await person('eve', ['--role', 'observer'])
  const { stdout } = await eve.troupe(['ps', '--all', '--json'])
  expect(JSON.parse(stdout)).toContainEqual(expect.objectContaining({ name: 'of-bob', user: 'bob' }))
  expect(await eve.troupe(['launch', '-f', '-'], task('of-eve', ['true']))).toMatchObject(REFUSED)
})

describe('a .creds file launches, with the url and the inbox prefix that are said,', () => {
  let creds: string
  let said: { url: string; user: string; inboxPrefix: string }
  let subject: string
  /** file of the authority, as the export names it */
  let ca: string
  beforeAll(async () => {
    creds = join(dir, 'own.creds')
    const exported = await fleet.troupe(['context', 'export', '--creds', '-o', creds, '--json'])
    said = JSON.parse(exported.stdout)
    ca = /^authority: (.*)$/m.exec(exported.stderr)![1]!
    subject = `troupe.v1.${fleet.info.fleet}.coordinator.launch.${said.user}`
  })
  const ended = async (reply: { run: string }) => (await fleet.troupe(['wait', reply.run])).code

  test('from nats-py', async () => {
    const ran = await run(
      python,
      [join(root, 'tests/support/programs/plain_client.py'), said.url, creds, 'request', subject],
      { input: task('by-py', ['true']), env: { ...process.env, INBOX_PREFIX: said.inboxPrefix, CA: ca } },
    )
    expect(ran.stderr).toBe('')
    expect(await ended(JSON.parse(ran.stdout).reply)).toBe(0)
  })

  test('from nats.js', async () => {
    const client = await natsConnect({
      servers: said.url,
      authenticator: credsAuthenticator(await readFile(creds)),
      inboxPrefix: said.inboxPrefix,
      tls: { caFile: ca },
    })
    const answer = await client.request(subject, task('by-js', ['true']), { timeout: 5000 })
    await client.close()
    expect(await ended(answer.json())).toBe(0)
  })

  test('from the nats command line, by its flags and by the context that --nats writes', async () => {
    const nats = await natsProgram()
    const flags = ['--server', said.url, '--creds', creds, '--tlsca', ca, '--inbox-prefix', said.inboxPrefix]
    const env = { ...process.env, XDG_CONFIG_HOME: join(dir, 'config') }
    const context = (await fleet.troupe(['context', 'export', '--nats', '-q'], { env })).stdout.trim()
    for (const how of [flags, ['--context', context]]) {
      const ran = await run(nats, [...how, 'request', '--raw', subject, task('by-nats', ['true'])], { env })
      expect([ran.code, ran.stderr]).toEqual([0, ''])
      expect(await ended(JSON.parse(ran.stdout))).toBe(0)
    }
  })
})

test('who is revoked is cut off when the command returns, and comes back neither by a renewed JWT nor after a restart', async () => {
  const [ann, carl, dora] = [await person('ann'), await person('carl'), await person('dora')]
  const bus = await connectNats({ servers: fleet.info.url, credentials: ann.credentials, name: 'ann' })
  const staying = await connectNats({ servers: fleet.info.url, credentials: dora.credentials, name: 'dora' })
  try {
    expect((await fleet.troupe(['user', 'revoke', 'ann'])).stderr).toContain('the bus lets it in no more')
    expect([bus.connected, staying.connected]).toEqual([false, true])
    // within the same second, most likely: both hold
    expect((await fleet.troupe(['user', 'revoke', 'carl'])).code).toBe(0)
    expect(staying.connected).toBe(true)
  } finally {
    await Promise.all([bus.close(), staying.close()])
  }
  const minter = (await readMinter(homeLayout({ TROUPE_HOME: fleet.home })))!
  const renewed = {
    ...(await mintCredentials(minter, 'client', 'ann', {}, ann.credentials.nkeySeed)),
    ca: ann.credentials.ca!,
  }
  const signIn = () => connectNats({ servers: fleet.info.url, credentials: renewed, name: 'ann' })
  const stillOut = async () => {
    await expect(signIn()).rejects.toMatchObject({ code: 'PERMISSION' })
    for (const { troupe } of [ann, carl]) expect(await troupe(['ps'])).toMatchObject(REFUSED)
    expect((await dora.troupe(['ps'])).code).toBe(0)
  }
  await stillOut()

  // a bus that does not answer is told when it starts
  process.kill(fleet.info.pids.bus, 'SIGSTOP')
  const revoked = await fleet.json(['user', 'revoke', 'bob'])
  expect(revoked).toMatchObject([{ name: 'bob', told: false }])
  process.kill(fleet.info.pids.bus, 'SIGKILL')
  await fleet.repair()
  await stillOut()
  const bob = (args: string[]) => fleet.troupe(args, { env: { TROUPE_HOME: join(dir, 'bob') } })
  expect(await bob(['ps'])).toMatchObject(REFUSED)
  expect((await fleet.troupe(['user', 'add', 'bob', '--replace', '-o', join(dir, 'bob2.json')])).code).toBe(0)
  expect((await bob(['context', 'add', join(dir, 'bob2.json'), '--replace'])).code).toBe(0)
  expect((await bob(['ps'])).code).toBe(0)
})

test('an export of one’s own context is the same person elsewhere', async () => {
  const file = join(dir, 'own.json')
  expect((await fleet.troupe(['context', 'export', '-o', file])).code).toBe(0)
  const env = { TROUPE_HOME: join(dir, 'laptop') }
  expect((await fleet.troupe(['context', 'add', file, '--name', 'cluster'], { env })).code).toBe(0)
  const shown = JSON.parse((await fleet.troupe(['context', 'show', '--json'], { env })).stdout)
  expect(shown).toMatchObject({ name: 'cluster', user: fleet.info.user })
  expect(await readCredentials(shown.credentials)).toEqual(
    await readCredentials(fleet.info.credentials.client),
  )
  expect((await fleet.troupe(['ps'], { env })).code).toBe(0)
})

/** Of set-up. */
async function natsProgram(): Promise<string> {
  const given = process.env['TROUPE_TEST_NATS_CLI']
  if (given !== undefined) return given
  const cache = join(process.env['TROUPE_CACHE'] ?? join(homedir(), '.cache/troupe'), 'nats-cli')
  return join(
    cache,
    (await readdir(cache)).filter((name) => /^\d/.test(name) && !name.includes('lock'))[0]!,
    'nats',
  )
}
