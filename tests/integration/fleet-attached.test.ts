/** `troupe up` in the foreground: it watches its parts, and takes them down when it ends. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { alive, fleetEnv, makeHome, root, run, TROUPE, until, type UpInfo } from '../support/fleet.ts'
import { processesOf } from '../support/fleet-processes.ts'

describe('an attached up', () => {
  let home: string
  let env: NodeJS.ProcessEnv
  const start = (flags: string[] = ['--json']) => {
    const child = spawn(TROUPE, ['up', ...flags], { env, cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
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

  describe('beside a fleet that it found', () => {
    const troupe = (...args: string[]) => run(TROUPE, args, { env })
    beforeEach(async () => void (await troupe('up', '--detach')))
    const launch = async (...flags: string[]): Promise<string> => {
      const { stdout } = await troupe('launch', '-q', '--name', 'kept', ...flags, '--', 'sleep', '600')
      const id = stdout.trim()
      await troupe('wait', id, '--for', 'running', '--timeout', '20s')
      return id
    }

    test.each(['SIGINT', 'SIGTERM'] as const)(
      '%s: it leaves the fleet and its runs, and says so',
      async (signal) => {
        const kept = await launch()
        const up = start([])
        await until('it says so', () => up.out.stderr.includes('It was up before'), 60_000)
        expect(up.out.stderr).toContain('Ctrl-C leaves bus, coordinator, n0; end it: troupe down')
        up.child.kill(signal)
        expect(await up.ended).toEqual([0, null])
        expect(up.out.stderr).toContain(`${signal}; still up: bus, coordinator, n0`)
        expect(JSON.parse((await troupe('status', kept, '--json')).stdout).state).toBe('running')
      },
    )

    test('a node that it added ends with its worker; the other node and its worker stay', async () => {
      const up = start(['--agents', '2', '--json'])
      const { pids } = await up.ready()
      const pair = await launch('--nodes', '2')
      const { workers } = JSON.parse((await troupe('status', pair, '--json')).stdout)
      const at = (node: string): number =>
        workers.find((worker: { node: string }) => worker.node === node).pid
      up.child.kill('SIGINT')
      expect(await up.ended).toEqual([0, null])
      expect(up.out.stderr).toContain('ended n1; still up: bus, coordinator, n0')
      expect(await alive(pids.agents['n1']!)).toBe(false)
      expect([await alive(at('n0')), await alive(at('n1'))]).toEqual([true, false])
    })
  })
})
