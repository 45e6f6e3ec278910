/**
 * The process that has the host is killed with -9, or another one takes its spool: what runs goes on, and the
 * next one knows the truth.
 */
import { build } from 'esbuild'
import { spawn, type ChildProcess } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Prepared, Started } from '../../src/protocol/host.ts'
import type { ProcessHost } from '../../src/process/process-host.ts'
import type { ForkSpec } from '../../src/protocol/launch/resolved.ts'
import {
  linuxHost,
  listenTo,
  processesOf,
  removeDirectory,
  shims,
  sweepProcesses,
  temporaryDirectory,
} from '../support/linux-host.ts'
import { forkSpec, NO_BINDINGS } from '../support/spec.ts'

const directory = temporaryDirectory()
const driver = join(directory, 'driver.mjs')
let shim: string[]
beforeAll(async () => {
  shim = (await shims(directory)).c
  await build({
    entryPoints: [fileURLToPath(new URL('../support/programs/host-driver.ts', import.meta.url))],
    outfile: driver,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'error',
    banner: { js: "import { createRequire as r } from 'node:module'; const require = r(import.meta.url);" },
  })
})
afterAll(() => removeDirectory(directory))

let spoolDir: string
let agents: ChildProcess[]
let host: ProcessHost
beforeEach(() => {
  spoolDir = join(directory, `spool-${process.hrtime.bigint()}`)
  agents = []
  host = linuxHost(spoolDir, shim)
})
afterEach(async () => {
  for (const agent of agents) agent.kill('SIGKILL')
  await host.close()
  sweepProcesses(spoolDir)
  removeDirectory(spoolDir)
})

async function startAgent(specs: ForkSpec[], until: 'prepared' | 'started') {
  const agent = spawn(process.execPath, [driver, JSON.stringify({ spoolDir, shim, specs, until })], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  agents.push(agent)
  const gone = new Promise<NodeJS.Signals | null>((resolve) =>
    agent.once('exit', (_, signal) => resolve(signal)),
  )
  const told = await new Promise<{ prepared: Prepared[]; started: Started[] }>((resolve, reject) => {
    agent.stdout.once('data', (line) => resolve(JSON.parse(String(line))))
    agent.once('exit', () => reject(new Error('the driver ended before it said anything')))
  })
  return { agent, gone, ...told }
}

test('the agent is killed with -9 while workers run: they run on, and the next agent has their true exits [FC-3 A-32]', async () => {
  const go = join(directory, 'go')
  const specs = [
    forkSpec(['sh', '-c', `while [ ! -e '${go}' ]; do sleep 0.05; done; exit 7`], { n: 0 }),
    forkSpec(['sleep', '3600'], { n: 1 }),
  ]
  const { agent, gone, started } = await startAgent(specs, 'started')
  agent.kill('SIGKILL')
  await gone
  expect(
    specs.map(({ forkId }) =>
      processesOf(spoolDir, forkId).includes(started[forkId === specs[0]!.forkId ? 0 : 1]!.pid!),
    ),
  ).toEqual([true, true])
  writeFileSync(go, '')
  const events = listenTo(host)
  const found = await host.recover()
  expect(found.map(({ started }) => started)).toEqual(started)
  expect((await events.next('exited', specs[0]!.forkId)).exit).toEqual({
    code: 7,
    signal: null,
    oom: false,
    unknown: null,
  })
  await host.killTree(specs[1]!.forkId)
  expect((await events.next('exited', specs[1]!.forkId)).exit.signal).toBe('SIGKILL')
  expect((await events.next('empty', specs[1]!.forkId)).receipt.outcome).toBe('gone')
})

test('the agent is killed with -9 between prepare and start: the next one has the same leases, and starts it once [FC-3]', async () => {
  const spec = forkSpec(['sleep', '3600'], {
    resources: { cpus: 1, gpus: 0, memoryBytes: 0, ports: 2, share: false },
  })
  const { agent, gone, prepared } = await startAgent([spec], 'prepared')
  agent.kill('SIGKILL')
  await gone
  const [found] = await host.recover()
  expect(found).toMatchObject({ phase: 'prepared', prepared: prepared[0] })
  await host.start(spec.forkId, NO_BINDINGS)
  expect(processesOf(spoolDir, spec.forkId)).toHaveLength(1)
})

test('a newcomer ends the owner of the spool before it touches anything, and has its workers [FC-3]', async () => {
  const spec = forkSpec(['sleep', '3600'])
  const { gone, started } = await startAgent([spec], 'started')
  const [found] = await host.recover()
  expect(await gone).toBe('SIGTERM')
  expect(found!.started).toEqual(started[0])
  expect(processesOf(spoolDir, spec.forkId)).toEqual([started[0]!.pid])
})

test('an owner that is stopped and cannot listen is ended all the same', async () => {
  const { agent, gone } = await startAgent([], 'prepared')
  agent.kill('SIGSTOP')
  await host.recover()
  expect(await gone).toBe('SIGKILL')
})
