/**
 * `troupe up` and `troupe down` as a user types them: what they print, what they start, repair, and leave
 * behind (nothing).
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, readlink, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  alive,
  fleetEnv,
  makeHome,
  root,
  run,
  startFleet,
  TROUPE,
  until,
  type Fleet,
  type UpInfo,
} from '../support/fleet.ts'

/** Every process that works for the fleet in `home`, by its command line. */
async function processesOf(home: string): Promise<string[]> {
  const found: string[] = []
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const [command, environ] = await Promise.all(
      ['cmdline', 'environ'].map((name) => readFile(`/proc/${pid}/${name}`, 'latin1').catch(() => '')),
    )
    if ((command!.includes(home) || environ!.includes(`TROUPE_HOME=${home}\0`)) && (await alive(Number(pid))))
      found.push(`${pid} ${command!.replaceAll('\0', ' ').trim()}`)
  }
  return found
}
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

  test('a node that has no key here is refused where the bus is not ours', async () => {
    const elsewhere = await fleet.troupe(['agent', '--node', 'foreign'], {
      env: { TROUPE_LOCAL: join(fleet.home, 'other-local') },
    })
    expect(elsewhere).toMatchObject({ code: 3, stdout: '', stderr: expect.stringContaining('foreign') })
  })
})

describe('the ends of a fleet', () => {
  let home: string
  let env: NodeJS.ProcessEnv
  const troupe = (args: string[], more: { env?: NodeJS.ProcessEnv; input?: string } = {}) =>
    run(TROUPE, args, { ...more, env: { ...env, ...more.env } })
  const up = async (): Promise<UpInfo> =>
    JSON.parse((await troupe(['up', '--detach', '--json'])).stdout) as UpInfo
  const launchTree = async (): Promise<{ id: string; pid: number }> => {
    const tree = [
      'bash',
      '-c',
      'setsid sleep 1000 & (setsid sleep 1001 &) ; trap "" TERM; echo deaf; while :; do sleep 1; done',
    ]
    const { stdout } = await troupe(['launch', '-q', '-f', '-'], {
      input: JSON.stringify({
        apiVersion: 'troupe/v1',
        name: 'tree',
        roles: { main: { kind: 'task', command: tree } },
      }),
    })
    const id = stdout.trim()
    expect((await troupe(['wait', id, '--for', 'running', '--timeout', '30s'])).code).toBe(0)
    await until('it is deaf', async () => (await troupe(['logs', id])).stdout.includes('deaf'))
    return { id, pid: JSON.parse((await troupe(['status', id, '--json'])).stdout).workers[0].pid as number }
  }
  beforeAll(async () => {
    home = await makeHome()
    env = fleetEnv(home)
  })
  afterEach(async () => {
    expect((await troupe(['down'])).code).toBe(0)
    expect(await processesOf(home)).toEqual([])
  })
  afterAll(() => rm(home, { recursive: true, force: true }))

  test('down where nothing is up says so, exit 0, and makes nothing', async () => {
    const other = await makeHome()
    const result = await run(TROUPE, ['down', '--json'], { env: fleetEnv(other) })
    expect(result).toMatchObject({ code: 0 })
    expect(JSON.parse(result.stdout)).toEqual({ receipts: [], ended: [] })
    expect(await readdir(other)).toEqual([])
    await rm(other, { recursive: true })
  })

  test.each([
    ['with everything alive', (): number[] => []],
    ['with the agent dead', (info: UpInfo) => [info.pids.agents['n0']!]],
    ['with the coordinator dead', (info: UpInfo) => [info.pids.coordinator]],
    ['with the bus dead', (info: UpInfo) => [info.pids.bus]],
    [
      'with everything dead',
      (info: UpInfo) => [info.pids.bus, info.pids.coordinator, info.pids.agents['n0']!],
    ],
  ])('down %s: the worker’s whole tree is gone, with a receipt [A-06 A-32 +A17]', async (_, victims) => {
    const info = await up()
    const { id, pid } = await launchTree()
    for (const victim of victims(info)) process.kill(victim, 'SIGKILL')
    const result = await troupe(['down', '--json'])
    expect(result.code, result.stderr).toBe(0)
    expect(JSON.parse(result.stdout).receipts).toEqual([
      expect.objectContaining({ worker: `${id}/main/0`, outcome: 'gone', survivors: [] }),
    ])
    expect([await alive(pid), await processesOf(home)]).toEqual([false, []])
    expect((await troupe(['ps'])).code).toBe(4)
  })

  test('down --keep-workers leaves them, and the next up finds them running', async () => {
    await up()
    const { id, pid } = await launchTree()
    expect((await troupe(['down', '--keep-workers'])).code).toBe(0)
    expect(await alive(pid)).toBe(true)
    await up()
    await until(
      'the run is running',
      async () => JSON.parse((await troupe(['status', id, '--json'])).stdout || '{}').state === 'running',
    )
    expect(JSON.parse((await troupe(['status', id, '--json'])).stdout).workers[0]).toMatchObject({
      pid,
      state: 'running',
    })
  })

  test('kept workers are found again whatever number of agents the next up asks for', async () => {
    await run(TROUPE, ['up', '--detach', '--agents', '2'], { env })
    const { stdout } = await troupe(['launch', '-q', '-f', '-'], {
      input: JSON.stringify({
        apiVersion: 'troupe/v1',
        name: 'kept',
        roles: { main: { kind: 'task', replicas: 2, command: ['sleep', '600'] } },
      }),
    })
    const id = stdout.trim()
    const workers = async (): Promise<{ pid: number; state: string }[]> =>
      (
        JSON.parse((await troupe(['status', id, '--json'])).stdout || '{"workers":[]}') as {
          workers: { pid: number; state: string }[]
        }
      ).workers.map(({ pid, state }) => ({ pid, state }))
    await troupe(['wait', id, '--for', 'running'])
    const before = await workers()
    expect((await troupe(['down', '--keep-workers'])).code).toBe(0)
    const again = await troupe(['up', '--detach', '--json', '--agents', '1'])
    expect(Object.keys((JSON.parse(again.stdout) as UpInfo).pids.agents)).toEqual(['n0', 'n1'])
    expect(again.stderr).toMatch(/also n1/)
    await until(
      'both workers are known again',
      async () => JSON.stringify(await workers()) === JSON.stringify(before),
    )
  })

  test('agents and coordinators that were started by hand are ended too', async () => {
    await up()
    const byHand = spawn(TROUPE, ['agent', '--node', 'hand'], { env, stdio: 'ignore' })
    const closed = once(byHand, 'exit')
    await until('hand is ready', async () =>
      (JSON.parse((await troupe(['nodes', '--json'])).stdout || '[]') as { node: string }[]).some(
        ({ node }) => node === 'hand',
      ),
    )
    expect((await troupe(['down'])).code).toBe(0)
    expect(await closed).toEqual([0, null])
  })

  test('a detached fleet that nobody uses ends by itself', async () => {
    expect((await troupe(['up', '--detach', '--idle-end', '2s'])).code).toBe(0)
    await until('everything is gone', async () => (await processesOf(home)).length === 0, 30_000)
  })

  test('a caller’s open descriptors and pipes do not keep it waiting, whatever their number', async () => {
    const ran = await run(
      'bash',
      [
        '-c',
        `exec 9>"${home}/lock" 200>&9; exec 63> >(cat >/dev/null); "${TROUPE}" up --detach --json | cat`,
      ],
      { env },
    )
    expect(ran.code).toBe(0)
    const { pids } = JSON.parse(ran.stdout) as UpInfo
    for (const pid of [pids.bus, pids.coordinator, ...Object.values(pids.agents)])
      for (const fd of await readdir(`/proc/${pid}/fd`))
        expect(await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')).not.toBe(join(home, 'lock'))
  })

  test('a TROUPE_LOCAL that cannot hold a fleet is refused, with what to set', async () => {
    const result = await troupe(['up', '--detach'], { env: { TROUPE_LOCAL: '/dev/null/local' } })
    expect(result).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('TROUPE_LOCAL') })
  })

  test('no nats-server: up says what to do and starts nothing', async () => {
    const result = await troupe(['up', '--detach', '--json'], {
      env: { TROUPE_NATS_SERVER: join(home, 'none') },
    })
    expect(result).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('TROUPE_NATS_SERVER'),
    })
    expect(await processesOf(home)).toEqual([])
  })
})

describe('an attached up', () => {
  let home: string
  let env: NodeJS.ProcessEnv
  const start = () => {
    const child = spawn(TROUPE, ['up', '--json'], { env, cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    const out = { stdout: '', stderr: '' }
    child.stdout.on('data', (chunk) => (out.stdout += chunk))
    child.stderr.on('data', (chunk) => (out.stderr += chunk))
    const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>
    return {
      child,
      out,
      ended,
      ready: () =>
        until(
          'it is up',
          () => (out.stdout.endsWith('\n') ? (JSON.parse(out.stdout) as UpInfo) : null),
          60_000,
        ),
    }
  }
  beforeAll(async () => {
    home = await makeHome()
    env = fleetEnv(home)
  })
  afterEach(async () => {
    await run(TROUPE, ['down'], { env })
    expect(await processesOf(home)).toEqual([])
  })
  afterAll(() => rm(home, { recursive: true, force: true }))

  test('a part that dies is started again, and Ctrl-C takes everything down and says so', async () => {
    const up = start()
    const info = await up.ready()
    process.kill(info.pids.agents['n0']!, 'SIGKILL')
    process.kill(info.pids.coordinator, 'SIGKILL')
    await until('both are started again', () => /up: bus \d+/.test(up.out.stderr), 30_000)
    up.child.kill('SIGINT')
    expect(await up.ended).toEqual([0, null])
    expect(up.out.stderr).toContain('nothing is left running')
    expect(await processesOf(home)).toEqual([])
  })

  test.each([100, 300, 500, 700, 900, 1200])('Ctrl-C %i ms after the start leaves nothing', async (ms) => {
    const up = start()
    await new Promise((resolve) => setTimeout(resolve, ms))
    up.child.kill('SIGINT')
    const [code, signal] = await up.ended
    expect(code === 130 || code === 0 || signal === 'SIGINT').toBe(true)
    expect(await processesOf(home)).toEqual([])
  })

  test('troupe down elsewhere: it ends and says so', async () => {
    const up = start()
    await up.ready()
    expect((await run(TROUPE, ['down'], { env })).code).toBe(0)
    expect(await up.ended).toEqual([0, null])
    expect(up.out.stderr).toContain('taken down')
  })
})
