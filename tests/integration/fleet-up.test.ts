/** `troupe up --detach` as a user types it: what it prints, starts and repairs. */
import { once } from 'node:events'
import { mkdir, readFile, readlink, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { alive, startFleet, until, type Fleet, type UpInfo } from '../support/fleet.ts'
import { processesOf } from '../support/fleet-processes.ts'

async function argv(pid: number): Promise<string[]> {
  return (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0').slice(0, -1)
}

describe('a detached fleet', () => {
  let fleet: Fleet
  beforeAll(async () => {
    fleet = await startFleet({ agents: 2 })
  })
  afterAll(async () => {
    await fleet?.end()
    expect(await processesOf(fleet.home)).toEqual([])
  })
  afterEach(async () => {
    await fleet.repair()
  })

  test('up --json says where everything is, when all of it is ready [A-01 R-06]', async () => {
    const { info } = fleet
    expect(info).toMatchObject({
      context: 'local',
      fleet: 'main',
      url: expect.stringMatching(/^nats:\/\/127\.0\.0\.1:\d+$/),
      user: expect.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_-]*$/),
    })
    expect(Object.keys(info.pids.agents)).toEqual(['n0', 'n1'])
    for (const file of Object.values(info.credentials)) {
      expect((await stat(file)).mode & 0o777).toBe(0o600)
      expect(JSON.parse(await readFile(file, 'utf8'))).toEqual({
        nkeySeed: expect.stringMatching(/^SU/),
        inboxPrefix: expect.not.stringMatching(/[.*>]$/),
        jwt: expect.stringMatching(/^eyJ/),
      })
    }
    const nodes = await fleet.json<{ node: string; state: string; pid: number }[]>(['nodes'])
    expect(nodes.map(({ node, state, pid }) => ({ node, state, pid }))).toEqual([
      { node: 'n0', state: 'ready', pid: info.pids.agents['n0'] },
      { node: 'n1', state: 'ready', pid: info.pids.agents['n1'] },
    ])
    const context = await fleet.json(['context', 'show'])
    expect(context).toMatchObject({
      name: 'local',
      url: info.url,
      fleet: 'main',
      user: info.user,
      credentials: info.credentials.client,
    })
  })

  test('each printed pid is the program itself, in a session of its own, without any of the caller’s descriptors', async () => {
    const { pids } = fleet.info
    for (const pid of [pids.coordinator, ...Object.values(pids.agents)])
      expect((await argv(pid))[0]).toBe(process.execPath)
    expect((await argv(pids.bus))[0]).toMatch(/nats-server$/)
    for (const pid of [pids.bus, pids.coordinator, ...Object.values(pids.agents)]) {
      const stat = await readFile(`/proc/${pid}/stat`, 'latin1')
      expect(Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[3])).toBe(pid)
      const open = await Promise.all([0, 1, 2].map((fd) => readlink(`/proc/${pid}/fd/${fd}`)))
      expect(open).toEqual([
        '/dev/null',
        expect.stringContaining(fleet.home),
        expect.stringContaining(fleet.home),
      ])
    }
  })

  test('up again changes nothing when nothing is missing', async () => {
    const before = fleet.info
    expect(await fleet.repair()).toEqual(before)
  })

  test.each([
    ['the bus', (info: UpInfo) => [info.pids.bus]],
    ['the coordinator', (info: UpInfo) => [info.pids.coordinator]],
    ['an agent', (info: UpInfo) => [info.pids.agents['n1']!]],
    [
      'everything but one agent',
      (info: UpInfo) => [info.pids.bus, info.pids.coordinator, info.pids.agents['n0']!],
    ],
  ])('%s was killed: up starts what is missing and nothing else, at the same address', async (_, victims) => {
    const before = fleet.info
    const killed = victims(before)
    for (const pid of killed) process.kill(pid, 'SIGKILL')
    await Promise.all(killed.map((pid) => until(`${pid} is gone`, async () => !(await alive(pid)))))
    const after = await fleet.repair()
    const all = (info: UpInfo): Record<string, number> => ({
      bus: info.pids.bus,
      coordinator: info.pids.coordinator,
      ...info.pids.agents,
    })
    expect(after.url).toBe(before.url)
    for (const [part, pid] of Object.entries(all(before))) {
      if (killed.includes(pid)) expect(all(after)[part]).not.toBe(pid)
      else expect(all(after)[part]).toBe(pid)
    }
  })

  test('two ups at once start each part once', async () => {
    process.kill(fleet.info.pids.coordinator, 'SIGKILL')
    process.kill(fleet.info.pids.agents['n0']!, 'SIGKILL')
    const both = await Promise.all([
      fleet.troupe(['up', '--detach', '--json']),
      fleet.troupe(['up', '--detach', '--json']),
    ])
    expect(both.map(({ code }) => code)).toEqual([0, 0])
    expect(JSON.parse(both[0]!.stdout)).toEqual(JSON.parse(both[1]!.stdout))
    expect((await processesOf(fleet.home)).filter((line) => line.includes(' coordinator'))).toHaveLength(1)
  })

  test('an agent for a new node gets a key, joins, and leaves its workers at SIGTERM', async () => {
    const agent = fleet.start(['agent', '--node', 'extra'])
    // a node is ready as soon as it is heard; the inventory that follows tells its pid
    await until('extra is ready', async () =>
      (await fleet.json<{ node: string; state: string; pid: number }[]>(['nodes'])).some(
        (n) => n.node === 'extra' && n.state === 'ready' && n.pid === agent.pid,
      ),
    )
    const ran = await fleet.troupe(['launch', '-q', '-f', '-'], {
      input: JSON.stringify({
        apiVersion: 'troupe/v1',
        name: 'left',
        roles: { main: { kind: 'task', command: ['sleep', '1000'], nodelist: ['extra'] } },
      }),
    })
    const [id] = [ran.stdout.trim()]
    expect((await fleet.troupe(['wait', id, '--for', 'running', '--timeout', '30s'])).code).toBe(0)
    const worker = (await fleet.json(['status', id])).workers[0]
    agent.kill('SIGTERM')
    await once(agent, 'close')
    expect(agent.output().code).toBe(0)
    expect(await alive(worker.pid)).toBe(true)
    const again = fleet.start(['agent', '--node', 'extra'])
    await until('extra is back', async () =>
      (await fleet.json<{ node: string; state: string; pid: number }[]>(['nodes'])).find(
        (n) => n.node === 'extra' && n.pid === again.pid && n.state === 'ready',
      ),
    )
    expect((await fleet.json(['status', id])).workers[0].pid).toBe(worker.pid)
    expect((await fleet.troupe(['kill', id])).code).toBe(0)
    again.kill('SIGTERM')
    await once(again, 'close')
  })

  test('a second coordinator stands by, and serves when the first is killed', async () => {
    const second = fleet.start(['coordinator'])
    await until('the second is up', () => second.output().stdout.includes('"started"'))
    process.kill(fleet.info.pids.coordinator, 'SIGKILL')
    await until('the second serves', async () => (await fleet.troupe(['ps'])).code === 0, 15_000)
    expect(second.exitCode).toBeNull()
    second.kill('SIGTERM')
    await once(second, 'close')
    expect(second.output().code).toBe(0)
  })

  test('a node that has no credential is refused where the keys of the fleet are not', async () => {
    const context = JSON.parse(await readFile(join(fleet.home, 'contexts/local.json'), 'utf8'))
    const elsewhere = join(fleet.home, 'elsewhere')
    await mkdir(join(elsewhere, 'contexts'), { recursive: true })
    await writeFile(join(elsewhere, 'contexts/local.json'), JSON.stringify(context))
    const agent = await fleet.troupe(['agent', '--node', 'foreign', '--context', 'local'], {
      env: { TROUPE_HOME: elsewhere, TROUPE_LOCAL: join(elsewhere, 'local') },
    })
    expect(agent).toMatchObject({ code: 3, stdout: '', stderr: expect.stringContaining('foreign') })
  })
})
