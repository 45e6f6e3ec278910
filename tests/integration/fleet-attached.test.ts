/** `troupe up` in the foreground: it watches its parts, and takes them down when it ends. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { fleetEnv, makeHome, root, run, TROUPE, until, type UpInfo } from '../support/fleet.ts'
import { processesOf } from '../support/fleet-processes.ts'

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
