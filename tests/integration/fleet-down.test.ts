/** The ends of a fleet: what `troupe down` prints, ends, keeps, and leaves behind (nothing). */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readlink, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { alive, fleetEnv, makeHome, run, TROUPE, until, type UpInfo } from '../support/fleet.ts'
import { processesOf } from '../support/fleet-processes.ts'

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
