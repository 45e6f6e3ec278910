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
import { readRecord } from '../../src/process/records.ts'
import { fileOf, forkDirOf } from '../../src/process/spool.ts'
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
import { until } from '../support/fleet.ts'
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

/** A worker that exits with the code once the file is there. */
function exitsAfter(file: string, code: number, n: number): ForkSpec {
  return forkSpec(['sh', '-c', `while [ ! -e '${file}' ]; do sleep 0.05; done; exit ${code}`], { n })
}

test('the agent is killed with -9 while workers run: they run on, and the next agent has their true exits [FC-3 A-32]', async () => {
  const [goBefore, goAfter] = [join(directory, 'go-before'), join(directory, 'go-after')]
  const specs = [
    exitsAfter(goBefore, 7, 0),
    exitsAfter(goAfter, 8, 1),
    forkSpec(['sleep', '3600'], { n: 2 }),
  ] as const
  const [before, after, killed] = specs.map(({ forkId }) => forkId) as [string, string, string]
  const { agent, gone, started } = await startAgent([...specs], 'started')
  agent.kill('SIGKILL')
  await gone
  for (const [n, { forkId }] of specs.entries())
    expect(processesOf(spoolDir, forkId)).toContain(started[n]!.pid)
  // An exit that recover finds is in its answer and in no event, so each worker ends on one side of it.
  writeFileSync(goBefore, '')
  const record = fileOf.record(forkDirOf(spoolDir, before))
  await until('the shim has recorded its exit', () => readRecord(record).exit !== null)
  const events = listenTo(host)
  const found = await host.recover()
  expect(new Map(found.map(({ spec, started }) => [spec.forkId, started]))).toEqual(
    new Map(specs.map(({ forkId }, n) => [forkId, started[n]])),
  )
  const exit = { signal: null, oom: false, unknown: null }
  expect(found.find(({ spec }) => spec.forkId === before)!.exit).toMatchObject({ ...exit, code: 7 })
  writeFileSync(goAfter, '')
  expect((await events.next('exited', after)).exit).toEqual({ ...exit, code: 8 })
  await host.killTree(killed)
  expect((await events.next('exited', killed)).exit.signal).toBe('SIGKILL')
  expect((await events.next('empty', killed)).receipt.outcome).toBe('gone')
  expect(events.of(before)).toEqual([])
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
