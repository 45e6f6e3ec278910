/**
 * A fleet on three real servers, each stream with three copies: coordinators, agents and commands are
 * processes. The server that leads is killed, then another one stops, and then the new leader stops, in the
 * middle of a run.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { pickBusPort } from '../../src/fleet/bus-port.ts'
import { ensureKey, ensureOperator, keyFile } from '../../src/fleet/keys.ts'
import { layoutOf } from '../../src/fleet/layout.ts'
import { decode } from '../../src/protocol/codec.ts'
import { saveContext } from '../../src/system/contexts.ts'
import { cacheOf } from '../../src/system/paths.ts'
import type { Bus } from '../../src/transport/bus.ts'
import { connectNats } from '../../src/transport/nats/bus.ts'
import { findNatsServer } from '../../src/transport/nats-server.ts'
import { operatorMode } from '../../src/transport/nats/tenant-accounts.ts'
import { readStateTail } from '../../src/transport/state-tail.ts'
import { blocksOf } from '../support/code-blocks.ts'
import { alive, fleetEnv, makeHome, root, run, task, TROUPE, until, type Ran } from '../support/fleet.ts'
import { startTestCluster, type TestCluster } from '../support/test-cluster.ts'
import { ANY, testCredentials } from '../support/test-server.ts'

const { username: user } = userInfo()
/** An election takes 4 to 8 s, and a lease comes on top. */
const ELECTION_MS = 40_000
let home: string
let cluster: TestCluster
let admin: Bus
const components: ChildProcess[] = []

beforeAll(async () => {
  home = await makeHome()
  const layout = layoutOf(home, join(home, 'local'), 'main')
  const { keys, tenants } = await ensureOperator(layout)
  cluster = await startTestCluster({
    identity: await operatorMode(keys, tenants),
    admin: await testCredentials(tenants['main']!, 'admin', ANY),
  })
  await ensureKey(layout, { role: 'coordinator' }, user)
  await ensureKey(layout, { role: 'client' }, user)
  const credentials = keyFile(layout, { role: 'client' })
  await saveContext(home, { name: 'three', url: cluster.url, fleet: 'main', user, credentials })
  for (const args of [
    ['coordinator', '--replicas', '3'],
    ['coordinator', '--replicas', '3'],
    ['agent', '--node', 'n0'],
    ['agent', '--node', 'n1'],
  ])
    components.push(spawn(TROUPE, args, { env: fleetEnv(home), stdio: 'ignore' }))
  admin = await cluster.connect('admin')
  await until('the fleet serves', async () => (await troupe(['run', '--', 'true'])).code === 0, 60_000)
}, 120_000)
afterAll(async () => {
  for (const child of components) child.kill('SIGTERM')
  for (const child of components)
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  await cluster?.close()
  await rm(home, { recursive: true, force: true })
}, 60_000)

function troupe(args: string[], input?: string): Promise<Ran> {
  return run(TROUPE, args, { env: fleetEnv(home), ...(input !== undefined && { input }) })
}
/** Nobody answers while a leader is elected. */
function epoch(): Promise<number> {
  return until(
    'the state log is read',
    async () => (await readStateTail({ bus: admin, fleet: 'main' }, 'leader').catch(() => null))?.epoch.n,
    ELECTION_MS,
  )
}
/** A coordinator leads, writes, and has heard both nodes. */
function serves(): Promise<unknown> {
  return until(
    'the fleet serves again',
    async () => {
      if ((await troupe(['run', '-q', '--', 'true'])).code !== 0) return false
      const nodes = await troupe(['nodes', '--json'])
      if (nodes.code !== 0) return false
      const list = JSON.parse(nodes.stdout) as { state: string }[]
      return list.length === 2 && list.every(({ state }) => state === 'ready')
    },
    ELECTION_MS,
  )
}

interface Told {
  id: string
  what: string
  role?: string
  index?: number
}

test('the leader is killed, a follower stops, the new leader stops: the run has its own code, each event comes once', async () => {
  const go = join(home, 'go')
  const script = `i=0; while [ ! -e ${go} ]; do i=$((i+1)); echo line $i; sleep 0.05; done; exit $((7 * TROUPE_INDEX))`
  const launched = await troupe(
    ['launch', '-q', '-f', '-'],
    task('three', ['sh', '-c', script], { replicas: 2, failFast: false }, { failFast: false }),
  )
  expect(launched.code).toBe(0)
  const id = launched.stdout.trim()
  expect((await troupe(['wait', id, '--for', 'running', '--timeout', '30s'])).code).toBe(0)
  const follower = spawn(TROUPE, ['events', id, '-f', '--json'], {
    env: fleetEnv(home),
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  components.push(follower)
  let told = ''
  follower.stdout.on('data', (chunk) => (told += chunk))
  const first = await epoch()

  const { leader } = await cluster.rolesOf('troupe_main_STATE')
  leader.signal('SIGKILL')
  await leader.running.exited
  await serves()
  expect(await epoch()).toBeLessThanOrEqual(first + 1)
  await leader.start()

  const { followers } = await cluster.rolesOf('troupe_main_STATE')
  const second = await epoch()
  followers[0]!.signal('SIGSTOP')
  await serves()
  followers[0]!.signal('SIGCONT')
  await serves()
  expect(await epoch()).toBeLessThanOrEqual(second + 1)

  const third = await epoch()
  const { leader: led } = await cluster.rolesOf('troupe_main_STATE')
  led.signal('SIGSTOP')
  await until(
    'another leads',
    async () => (await cluster.rolesOf('troupe_main_STATE')).leader !== led,
    30_000,
  )
  led.signal('SIGCONT')
  await serves()
  expect(await epoch()).toBeLessThanOrEqual(third + 1)

  await writeFile(go, '')
  expect(await troupe(['wait', id, '--timeout', '60s'])).toMatchObject({ code: 7 })
  if (follower.exitCode === null) await once(follower, 'exit')
  const heard = told
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Told)
  await checkEvents(id, heard)
  await checkLogs(id)
}, 300_000)

async function checkEvents(id: string, heard: Told[]): Promise<void> {
  const kept = await keptEvents(id)
  const ids = (events: Told[]): string[] => events.map((event) => event.id).toSorted()
  expect(ids(heard)).toEqual(ids(kept))
  expect(new Set(ids(kept)).size).toBe(kept.length)
  for (const what of ['started', 'exited', 'gone', 'logs-final'])
    expect(
      kept
        .filter((event) => event.what === what)
        .map(({ index }) => index)
        .toSorted(),
    ).toEqual([0, 1])
  for (const what of ['accepted', 'running', 'ended'])
    expect(kept.filter((event) => event.what === what && event.role === undefined)).toHaveLength(1)
}
async function checkLogs(id: string): Promise<void> {
  for (const index of [0, 1]) {
    const log = (await troupe(['logs', `${id}/main/${index}`, '--raw', '--stream', 'stdout'])).stdout
      .trim()
      .split('\n')
    expect(log).toEqual(log.map((_, i) => `line ${i + 1}`))
    expect(log.length).toBeGreaterThan(20)
  }
}

/** What the leader of the stream has of a run. */
async function keptEvents(id: string): Promise<Told[]> {
  const events: Told[] = []
  const subject = `troupe.v1.main.event.${id}.>`
  for (let seq = 1; ;) {
    const page = await admin.getMessages('troupe_main_EVENT', { seq, subject, count: 64, from: 'leader' })
    if (page.length === 0) return events
    events.push(...page.map(({ body, headers }) => decode(body, headers['Content-Type']) as Told))
    seq = page.at(-1)!.seq + 1
  }
}

/** Each line of the page, in a copy of its directory, on ports that are free. */
describe('nats/cluster', () => {
  let dirs: string
  afterEach(async () => {
    const pids = (await readFile(join(dirs, 'pids'), 'utf8').catch(() => '')).split('\n').filter(Boolean)
    for (const pid of pids) if (await alive(Number(pid))) process.kill(Number(pid), 'SIGTERM')
    for (const pid of pids) await until(`${pid} has ended`, async () => !(await alive(Number(pid))))
    await rm(dirs, { recursive: true, force: true })
  })

  /** The port of each number in the files, other than it stands there. */
  async function onFreePorts(dir: string, script: string): Promise<{ script: string; port: number }> {
    const files = ['a', 'b', 'c'].map((name) => join(dir, `${name}.conf`))
    const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')))
    const found = [...new Set(texts.flatMap((text) => text.match(/\b1[46]22\d\b/g) ?? []))].toSorted()
    expect(found).toEqual(['14222', '14223', '14224', '16222', '16223', '16224'])
    const ports = new Map<string, number>()
    for (const port of found) ports.set(port, await pickBusPort())
    const moved = (text: string): string => text.replace(/\b1[46]22\d\b/g, (port) => String(ports.get(port)))
    for (const [i, file] of files.entries()) await writeFile(file, moved(texts[i]!))
    return { script: moved(script), port: ports.get('14222')! }
  }

  test('the page is followed: three servers that know each other by certificate, each stream with three copies, and a run', async () => {
    dirs = await makeHome()
    const dir = join(dirs, 'cluster')
    await cp(join(root, 'nats/cluster'), dir, { recursive: true })
    await mkdir(join(dirs, 'local'), { mode: 0o700 })
    const blocks = blocksOf('nats/cluster/README.md').map(({ text }) => text)
    const { script, port } = await onFreePorts(dir, ['set -e', ...blocks].join('\n'))
    const { path: server } = await findNatsServer({ env: process.env, cache: cacheOf() })
    const base = fleetEnv(dirs)
    const env = {
      ...base,
      TROUPE_LOCAL: join(dirs, 'local'),
      PATH: [dirname(TROUPE), dirname(server), base['PATH']].join(delimiter),
    }
    // what it started outlives the shell, whose output must end with it
    const whole = `trap 'jobs -p > ${dirs}/pids' EXIT\n${script.replaceAll(/ &( done)?$/gm, ' > /dev/null 2>&1 &$1')}`
    const ran = await run('bash', ['-c', whole], { env, cwd: dir, timeoutMs: 90_000 })
    expect([ran.code, ran.stdout.trim().split('\n').at(-1)], ran.stderr).toEqual([0, 'hello'])

    const key = JSON.parse(await readFile(join(dirs, 'keys/main/coordinator.json'), 'utf8'))
    const bus = await connectNats({ servers: `nats://127.0.0.1:${port}`, credentials: key, name: 'test' })
    for (const stream of ['STATE', 'EVENT', 'LAUNCH']) {
      const info = await bus.request(`$JS.API.STREAM.INFO.troupe_main_${stream}`, new Uint8Array(0), {
        timeoutMs: 5000,
      })
      expect(JSON.parse(new TextDecoder().decode(info.body))).toMatchObject({
        config: { num_replicas: 3 },
        cluster: { replicas: [{}, {}] },
      })
    }
    await bus.close()
  }, 120_000)
})
