/**
 * An agent whose credential ends, as on another machine: its home has no key that mints. Lives of seconds
 * stand for weeks; who is asked is the real coordinator, and the server cuts off at the second.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { writeCredentials, type Credentials } from '../../src/system/contexts.ts'
import { userClaimsOf } from '../../src/transport/nats/jwt-claims.ts'
import { newSeed, signerOf } from '../../src/transport/nats/nkey-sign.ts'
import { mintJwt, type Minter } from '../../src/transport/nats/tenant-accounts.ts'
import { startFleet, task, until, type Fleet } from '../support/fleet.ts'

let fleet: Fleet
let minter: Minter
beforeAll(async () => {
  fleet = await startFleet({ agents: 1 })
  minter = JSON.parse(await readFile(join(fleet.home, 'keys/main/signing.json'), 'utf8')) as Minter
})
afterAll(() => fleet.end())

/** A home that has one node's credential, and nothing that mints. */
async function homeOf(node: string, lifeMs: number): Promise<{ home: string; file: string }> {
  const home = join(fleet.home, `home-${node}`)
  await mkdir(join(home, 'contexts'), { recursive: true, mode: 0o700 })
  const context = await readFile(join(fleet.home, 'contexts/local.json'), 'utf8')
  await writeFile(join(home, 'contexts/local.json'), context)
  const file = join(home, `keys/main/agent.${node}.json`)
  const nkeySeed = newSeed('user')
  const key = signerOf(nkeySeed, 'user').publicKey
  const now = Date.now()
  await writeCredentials(file, {
    nkeySeed,
    inboxPrefix: `_INBOX.agent-${node}`,
    jwt: await mintJwt(minter, 'agent', node, key, { expires: now + lifeMs }),
    renewal: await mintJwt(minter, 'renewal', node, key, { expires: now + 3_600_000 }),
  })
  return { home, file }
}

function startAgent(node: string, home: string) {
  return fleet.start(['agent', '--node', node, '--context', 'local'], {
    TROUPE_HOME: home,
    TROUPE_LOCAL: join(home, 'local'),
  })
}

async function stateOf(node: string): Promise<string | undefined> {
  const nodes = await fleet.json<{ node: string; state: string }[]>(['nodes'])
  return nodes.find((one) => one.node === node)?.state
}

async function endOf(file: string): Promise<number> {
  const { jwt } = JSON.parse(await readFile(file, 'utf8')) as Credentials
  return userClaimsOf(jwt!)!.expires!
}

test('half-way the agent has a new one for a week, and neither its worker nor anybody else notices', async () => {
  const lifeMs = 14_000
  const { home, file } = await homeOf('far', lifeMs)
  const ends = await endOf(file)
  const agent = startAgent('far', home)
  await until('it is ready', async () => (await stateOf('far')) === 'ready', 15_000)
  const launched = await fleet.troupe(['launch', '-q', '-f', '-'], {
    input: task('stays', ['sleep', '1000'], { nodelist: ['far'] }),
  })
  expect(launched).toMatchObject({ code: 0 })
  const id = launched.stdout.trim()
  await until('the worker runs', async () => (await fleet.json(['status', id])).state === 'running', 15_000)
  const before = (await fleet.json(['status', id])).workers[0]
  await until('the credential is renewed', async () => (await endOf(file)) > ends, lifeMs)
  expect((await endOf(file)) - Date.now()).toBeGreaterThan(6 * 86_400_000)
  await until('the old one has ended', () => Date.now() > ends + 1000, lifeMs)
  expect(await stateOf('far')).toBe('ready')
  const after = (await fleet.json(['status', id])).workers[0]
  expect([after.pid, after.state]).toEqual([before.pid, before.state])
  const events = (await fleet.troupe(['events', '--since', '1h', '--json'])).stdout
  const ofNode = events.split('\n').filter((line) => line.includes('"far"') && /suspect|lost/.test(line))
  expect(ofNode).toEqual([])
  expect((await fleet.troupe(['kill', id])).code).toBe(0)
  agent.kill('SIGTERM')
  await until('the agent has left', () => agent.exitCode !== null)
}, 60_000)

test('one that ended while no coordinator was there comes back when there is one', async () => {
  const { home, file } = await homeOf('late', 1000)
  const ended = await endOf(file)
  process.kill(fleet.info.pids.coordinator, 'SIGKILL')
  await until('its credential has ended', () => Date.now() > ended + 1000)
  const agent = startAgent('late', home)
  await until('it says so', () => agent.output().stdout.includes('its credential is not renewed'), 15_000)
  await fleet.repair()
  await until('it is ready', async () => (await stateOf('late')) === 'ready', 30_000)
  agent.kill('SIGTERM')
  await until('the agent has left', () => agent.exitCode !== null)
}, 60_000)
